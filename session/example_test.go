package session_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/taccoform/packer-plugin-ssm/session"
)

// A connection to a port of an instance. The service here is one in this
// process, whose port sends back what it gets; the package documentation shows
// one that is AWS's.
func Example() {
	service, stop := session.EchoService()
	defer stop()
	ctx := context.Background()

	port, err := session.OpenPort(ctx, service, session.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = port.Close() }() // ends the session

	conn, err := port.Dial(ctx) // as often as you like
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s from %s\n", answer, port.ID())
	// Output: hello from sess-1
}
