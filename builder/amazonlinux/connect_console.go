package amazonlinux

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

const (
	consoleLimit = 20 * time.Second
	consoleLines = 30
)

// tellConsole prints the end of the instance's console, before the instance goes:
// where the agent stays away, the boot often says why. It is a courtesy, so its failure is not the build's.
func tellConsole(ctx context.Context, b *build) {
	ctx, cancel := context.WithTimeout(ctx, consoleLimit)
	defer cancel()
	text, err := console(ctx, b)
	switch {
	case err != nil:
		b.ui.Error(fmt.Sprintf("What the console of %s says can't be told: %v", b.instance.id, awsclient.Err(err)))
	case text == "":
		b.ui.Error(fmt.Sprintf("The console of %s says nothing yet; for an hour after its end: aws ec2 get-console-output --region %s --instance-id %[1]s --output text",
			b.instance.id, b.plan.region))
	default:
		b.ui.Error(fmt.Sprintf("The console of %s ends with:\n%s", b.instance.id, lastLines(text, consoleLines)))
	}
}

// console is what the instance has written to its console. Types before Nitro have no latest output, only that of the boot.
func console(ctx context.Context, b *build) (string, error) {
	in := &ec2.GetConsoleOutputInput{InstanceId: aws.String(b.instance.id), Latest: aws.Bool(true)}
	out, err := b.aws.ec2.GetConsoleOutput(ctx, in)
	if awsclient.Code(err) == "UnsupportedOperation" {
		in.Latest = nil
		out, err = b.aws.ec2.GetConsoleOutput(ctx, in)
	}
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	return strings.ToValidUTF8(string(text), "?"), err
}

// lastLines are the last lines of a text, without the returns and the control characters of a terminal.
func lastLines(text string, n int) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	lines := strings.Split(strings.TrimRight(clean, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
