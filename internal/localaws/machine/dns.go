//go:build linux

package machine

import (
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// resolverAddress is where a VPC's name server is for every instance.
var resolverAddress = netip.MustParseAddr("169.254.169.253")

// serveNames answers as the VPC's name server: with the machine's own address for its own name, and for every other name
// that there is none, since there is no network beyond.
func (g *guest) serveNames() error {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(resolverAddress, 53)))
	if err != nil {
		return err
	}
	go func() { // lives as long as the machine
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer, err := g.resolve(buf[:n]); err == nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from) // who asked asks again
			}
		}
	}()
	return nil
}

func (g *guest) resolve(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	own := g.isOwnName(question.Name.String())
	header.Response, header.RecursionAvailable, header.RCode = true, true, dnsmessage.RCodeNameError
	if own {
		header.RCode = dnsmessage.RCodeSuccess
	}
	b := dnsmessage.NewBuilder(nil, header)
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(question); err != nil {
		return nil, err
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	if own && question.Type == dnsmessage.TypeA {
		resource := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 60}
		if err := b.AResource(resource, dnsmessage.AResource{A: g.ownAddress().As4()}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func (g *guest) isOwnName(name string) bool {
	first, _, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	own, _, _ := strings.Cut(currentHostname(g.config.Hostname), ".")
	return strings.EqualFold(first, own)
}

func (g *guest) ownAddress() netip.Addr {
	if g.config.PrivateIP.IsValid() {
		return g.config.PrivateIP
	}
	return netip.MustParseAddr("127.0.0.1")
}
