package localaws

// FailImage makes a pending image fail with a state reason, as AWS's own troubles do; it says whether there was one.
func (s *Server) FailImage(id, code, message string) bool {
	return s.endImage(id, func(img *image, snaps []*snapshot) {
		img.fail(snaps, code, message)
		s.changed(img.region, img.id, img.state)
	})
}

// CompleteImage makes a pending image available at once; it says whether there was one.
func (s *Server) CompleteImage(id string) bool { return s.endImage(id, s.complete) }

// endImage ends the wait for a pending image and its snapshots.
func (s *Server) endImage(id string, end func(*image, []*snapshot)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.ec2.regions {
		img := r.images[id]
		if img == nil || img.state != "pending" {
			continue
		}
		var snaps []*snapshot
		for _, snap := range img.snapshotIDs() {
			if r.snapshots[snap] != nil {
				snaps = append(snaps, r.snapshots[snap])
			}
		}
		end(img, snaps)
		return true
	}
	return false
}
