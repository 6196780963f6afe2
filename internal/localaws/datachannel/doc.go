// Package datachannel plays the two far ends of a Session Manager data channel: the service that a client's websocket
// connects to, and the agent behind it. It exists to be connected to by clients that were not written for it (AWS's own among
// them), so it behaves as the real ones were seen to behave, the unhelpful parts included, and shares no code with
// any client.
//
//	client  <-- websocket -->  Service  <-- wire -->  agent  <-->  Target (TCP ports, processes)
//
// A [Session] owns both ends. Its wires carry whole messages and are where [Impairment]s act: loss, repetition, other
// order, delay, bandwidth. Losing a websocket, the client's or the agent's, loses what is in flight and nothing else:
// sequence numbers, buffers and the target's connections stay until the session ends.
//
// # A message
//
//	 0  HeaderLength u32   116, or 112 where the service leaves PayloadType out
//	 4  MessageType [32]   padded with spaces by AWS's client and agent, with NULs by the service
//	36  SchemaVersion u32  1
//	40  CreatedDate u64    milliseconds since 1970, not 0
//	48  SequenceNumber i64 counts stream data from 0, each way for itself
//	56  Flags u64          1 on the agent's sequence number 0, 3 on acknowledgements
//	64  MessageId [16]     a UUID with its halves exchanged
//	80  PayloadDigest [32] SHA-256 of the payload; nobody but AWS's client checks it
//	112 PayloadType u32
//	116 PayloadLength u32, then the payload
package datachannel
