package awsclient

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// WebsocketClient opens websockets the way in which cfg's requests are made: through the same proxy, and trusting the same
// certificates (AWS_CA_BUNDLE, or ca_bundle in the profile), so that a proxy that looks into TLS is met by all alike. It is nil,
// which leaves the choice to whoever opens them, where cfg's client is not the SDK's own.
func WebsocketClient(cfg aws.Config) *http.Client {
	client, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil
	}
	transport := client.GetTransport()
	transport.MaxIdleConnsPerHost = -1 // each websocket keeps its connection
	transport.ForceAttemptHTTP2 = false
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.TLSClientConfig.NextProtos = nil // a client that was in use has put HTTP/2 there, in which a websocket can't be opened
	return &http.Client{Transport: transport}
}
