package session

// EchoService is a Service whose instance has a port that sends back what it
// gets, over real websockets in this process: for the package's example.
func EchoService() (svc Service, stop func()) {
	s := newSocketService(func(args ...any) { panic(args) })
	address, stopEcho := echoServer()
	wait := serveSmux(s.agent, address)
	return s.service(), func() {
		s.agent.end()
		wait()
		stopEcho()
		s.server.Close()
	}
}
