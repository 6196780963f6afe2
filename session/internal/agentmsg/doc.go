// Package agentmsg turns the messages of a Session Manager data channel into
// bytes and back. It is pure: it does no I/O, keeps no state, never writes to
// its input and never keeps a reference to it.
//
// A message is one binary websocket message, big-endian throughout:
//
//	offset size field
//	     0    4 HeaderLength   116, or 112 for the service's channel_closed (it has no PayloadType)
//	     4   32 MessageType    padded with spaces by the agent, with NULs by the service
//	    36    4 SchemaVersion  1
//	    40    8 CreatedDate    milliseconds since 1970, never 0
//	    48    8 SequenceNumber per direction, from 0; means something on the two stream types only
//	    56    8 Flags          bit 0 SYN, bit 1 FIN
//	    64   16 MessageId      a UUID whose two halves are swapped
//	    80   32 PayloadDigest  SHA-256 of the payload
//	   112    4 PayloadType    absent when HeaderLength is 112
//	    HL    4 PayloadLength  unreliable in the service's own messages
//	  HL+4      Payload        everything up to the end
package agentmsg
