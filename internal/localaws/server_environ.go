package localaws

import "os"

// Environ is the environment with which any AWS client finds this server and
// is let in: the endpoint, the credentials of the user builder, the first
// region, and nothing of the user's own configuration.
func (s *Server) Environ() []string {
	id, secret := s.Credentials(DefaultAccount)
	return []string{
		"AWS_ENDPOINT_URL=" + s.URL(),
		"AWS_ACCESS_KEY_ID=" + id,
		"AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_REGION=" + s.regions[0],
		"AWS_DEFAULT_REGION=" + s.regions[0],
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Credentials are the long-lived access key of the user builder of
// DefaultAccount or OtherAccount. They are new in every server.
func (s *Server) Credentials(account string) (accessKeyID, secretAccessKey string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.iam.keyOf(account)
	if key == nil {
		return "", ""
	}
	return key.id, key.secret
}
