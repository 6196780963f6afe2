// Package session is a client of AWS Systems Manager Session Manager. It opens
// a port session to an instance that has the SSM agent and hands out
// connections to a TCP port there as [net.Conn], with nothing listening on
// either side's network and no other program needed.
//
//	port, err := session.OpenPort(ctx, service, session.Options{})
//	...
//	defer port.Close()
//	conn, err := port.Dial(ctx)
//
// Dial fits wherever connections are asked for: as an http.Transport's
// DialContext, say, or for golang.org/x/crypto/ssh.NewClientConn.
//
// The package speaks the data channel's protocol itself and leaves the control
// API to the caller, so it depends on no AWS SDK. With aws-sdk-go-v2:
//
//	service := session.Service{
//		Start: func(ctx context.Context) (session.Grant, error) {
//			out, err := client.StartSession(ctx, &ssm.StartSessionInput{
//				Target:       aws.String("i-0123456789abcdef0"),
//				DocumentName: aws.String("AWS-StartPortForwardingSession"),
//				Parameters:   map[string][]string{"portNumber": {"22"}, "localPortNumber": {"0"}},
//			})
//			if err != nil {
//				return session.Grant{}, err
//			}
//			return session.Grant{SessionID: *out.SessionId, StreamURL: *out.StreamUrl, Token: *out.TokenValue}, nil
//		},
//		Resume: func(ctx context.Context, id string) (session.Grant, error) {
//			out, err := client.ResumeSession(ctx, &ssm.ResumeSessionInput{SessionId: &id})
//			if gone := (*types.DoesNotExistException)(nil); errors.As(err, &gone) {
//				return session.Grant{}, fmt.Errorf("%w: %w", session.ErrNotResumable, err)
//			}
//			if err != nil {
//				return session.Grant{}, err
//			}
//			return session.Grant{SessionID: id, StreamURL: aws.ToString(out.StreamUrl), Token: aws.ToString(out.TokenValue)}, nil
//		},
//		Terminate: func(ctx context.Context, id string) error {
//			_, err := client.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: &id})
//			return err
//		},
//		Sign: func(ctx context.Context, r *http.Request) error { // of aws/signer/v4; may be left out
//			credentials, err := cfg.Credentials.Retrieve(ctx)
//			if err != nil {
//				return err
//			}
//			const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
//			return v4.NewSigner().SignHTTP(ctx, credentials, r, emptyHash, "ssmmessages", cfg.Region, time.Now())
//		},
//	}
//
// The agent must be of version 3.0.222 (October 2020) or newer: older ones
// carry one connection a session. StartSession answers TargetNotConnected for
// a while after the instance has started; try again then.
//
// # What it survives
//
// Messages and acknowledgements that are lost, repeated or out of order; a
// websocket that is cut, falls silent, or is closed by the service as it is
// every hour; pauses; an agent that is frozen for a while; minutes without a
// network. Connections notice none of it but the delay. What cannot be
// survived ends the session with an [*EndedError] that has the [Reason].
//
// The delay is long where the agent's own websocket was lost while it sent
// much: it goes on at full speed then, but repeats what got lost at ten
// messages a second. [Port.Gap] tells. Who can go on in another session is
// quicker there.
//
// # What a connection is not
//
// A connection has no half-close: when either end closes, the agent closes
// both directions, and an abort at the far end looks like an orderly end.
// In one session nothing tells the sender how fast a single connection's far
// end reads. The agent holds up to 4 MiB for all connections of a session
// together; a far end that stops reading for good stalls the others of that
// session once that is full, so give such a protocol a session of its own.
// Protocols with a window of their own, such as SSH and HTTP/2, never get
// there. The other way round the agent knows no window at all: a connection
// whose reader here falls [Options.StreamBuffer] behind is broken off, alone.
//
// # The protocol
//
//	     client                        service                        agent
//	StartSession ----------------------->|
//	  <-- id, URL, token ----------------|------ starts a session worker ->|
//	websocket GET (signed or not) ------>|
//	text {TokenValue, ClientId, ...} --->|   from here on binary messages
//	  <-------------------- output_stream_data 0: HandshakeRequest --------|
//	acknowledge 0 -------------------------------------------------------->|
//	input_stream_data 0: HandshakeResponse ------------------------------->|
//	  <-------------------------------------------------- acknowledge 0 ---|
//	  <------------------- output_stream_data 1: HandshakeComplete --------|
//	input_stream_data n: bytes of smux version 1 ------------------------->| SYN: dials the port
//	  <-------------------------------------------------- acknowledge n ---|
//	  <---------------- output_stream_data n: bytes of smux version 1 -----|
//	acknowledge n -------------------------------------------------------->|
//	  <---- start_publication, pause_publication ----|                     |
//	  <---- websocket closed, 1000 "Bye" ------------|  every hour
//	ResumeSession, websocket, token; numbers go on where they were
//	input_stream_data n: Flag TerminateSession --------------------------->|
//	TerminateSession ------------------->|
//	  <---- channel_closed, with a text for a reason |
//
// Every numbered message is acknowledged by its number, in any order, and
// repeated until it is; both ends put them in order. The service takes about
// 1000 messages a second from a client and then pauses, then closes the
// session, so messages are filled (1024 bytes) and paced (900 a second, more
// while all is calm). The agent has no window and cannot be given one.
//
// # How it is built
//
// Layers, one file each: a websocket as a pipe of whole messages (dial), a
// stream of numbered messages that outlives its pipes (stream, with send, rtt,
// pacer and receive deciding), the multiplexer (mux, conn), and the session's
// life around them (port, handshake, resume, close). A session has one
// goroutine, and four for each websocket: reading, writing, pinging and
// keeping alive. The reading one waits for nobody. The multiplexer has none:
// the sender asks it for bytes whenever a message may go, so everything that
// was written by then is in it, and connections take turns.
package session
