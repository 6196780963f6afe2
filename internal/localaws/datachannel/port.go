package datachannel

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

const localPortForwarding = "LocalPortForwarding"

// newPlugin makes the plugin of a session type.
func newPlugin(a *agent, c Config) plugin {
	switch c.Type {
	case Port:
		return &portPlugin{agent: a, properties: c.Properties}
	case StandardStream, InteractiveCommands, NonInteractiveCommands:
		return newShellPlugin(a, c)
	}
	return &unknownPlugin{c.Type}
}

// A portSession is one of the two ways to forward a port.
type portSession interface {
	open(ctx context.Context) error
	input(m message) error
	run(ctx context.Context) error
	stop()
}

// portPlugin picks the way by the document and the client's version.
type portPlugin struct {
	agent      *agent
	properties map[string]any
	current    box[portSession]
}

func (p *portPlugin) handshakes() bool { return true }

func (p *portPlugin) start(ctx context.Context, clientVersion string) error {
	port, err := strconv.ParseUint(p.property("portNumber"), 10, 16)
	if err != nil {
		return fmt.Errorf("Port number is empty in session properties. %v", p.properties) //nolint:staticcheck // the agent's words
	}
	target := portTarget{p.agent.session.config.Target, p.property("host"), int(port)}
	var session portSession
	forwards := p.property("type") == localPortForwarding
	if forwards && compareVersions(clientVersion, "1.1.70") >= 0 && !p.agent.habits.single {
		session = newMuxPort(p.agent, target, clientVersion)
	} else {
		session = newBasicPort(p.agent, target, forwards)
	}
	if err := session.open(ctx); err != nil {
		return err
	}
	p.current.put(session)
	return nil
}

func (p *portPlugin) property(name string) string {
	value, _ := p.properties[name].(string)
	return value
}

func (p *portPlugin) input(m message) error {
	session, ok := p.current.get()
	if !ok {
		return errNotReady
	}
	return session.input(m)
}

func (p *portPlugin) run(ctx context.Context) error {
	session, _ := p.current.get()
	return session.run(ctx)
}

func (p *portPlugin) stop() {
	if session, ok := p.current.get(); ok {
		session.stop()
	}
}

// A portTarget is where the connections of a session go.
type portTarget struct {
	target Target
	host   string // empty is the machine itself
	port   int
}

func (t portTarget) dial(ctx context.Context) (net.Conn, error) {
	host := t.host
	defaultTo(&host, "localhost")
	return t.target.Dial(ctx, host, t.port)
}

type unknownPlugin struct{ kind Type }

func (p *unknownPlugin) handshakes() bool          { return false }
func (p *unknownPlugin) input(message) error       { return errNotReady }
func (p *unknownPlugin) run(context.Context) error { return nil }
func (p *unknownPlugin) stop()                     {}
func (p *unknownPlugin) start(context.Context, string) error {
	return fmt.Errorf("Plugin with name %s not found", p.kind) //nolint:staticcheck // the agent's words
}
