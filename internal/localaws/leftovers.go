package localaws

import "slices"

// Leftovers is what stands in every account and region beside what was there
// at the start: instances that neither are terminated nor about to be, volumes, snapshots, images,
// network interfaces, security groups, key pairs, roles, policies, instance
// profiles, keys and grants on them, sessions, commands, machines. One line each, sorted by service; an
// AWS that nobody has used has none.
func (s *Server) Leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.ec2Leftovers(), s.iamLeftovers(), s.kmsLeftovers(), s.ssmLeftovers())
}
