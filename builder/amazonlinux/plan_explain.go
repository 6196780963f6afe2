package amazonlinux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// explainLimit bounds the one call that an error is explained by.
const explainLimit = 20 * time.Second

// explain adds to the refusal that halted a step what AWS says of it in its
// encoded message, where the template asks for that (decode_authorization_messages).
// A message that can't be decoded leaves the refusal as it is, with the reason.
func explain(ctx context.Context, bag multistep.StateBag) {
	b, err := buildOf(bag), errorOf(bag)
	var refused *awsclient.Error
	if !b.config.DecodeAuthorizationMessages || !errors.As(err, &refused) || refused.Encoded == "" {
		return
	}
	limited, cancel := context.WithTimeout(ctx, explainLimit)
	defer cancel()
	decoded, decodeErr := b.aws.sts.DecodeAuthorizationMessage(limited, &sts.DecodeAuthorizationMessageInput{EncodedMessage: aws.String(refused.Encoded)})
	if ctx.Err() != nil {
		return // cancelled: the refusal is still what went wrong
	}
	if decodeErr != nil {
		bag.Put(stateError, fmt.Errorf("%w; its reasons stay encoded: %w", err, awsclient.Err(decodeErr)))
		return
	}
	why := reasons(aws.ToString(decoded.DecodedMessage))
	b.ui.Error("AWS's reasons: " + why)
	bag.Put(stateError, fmt.Errorf("%w; AWS's reasons: %s", err, why))
}

// reasons is a decoded authorization message in short, or as it is where it has another form.
func reasons(message string) string {
	var told struct {
		ExplicitDeny bool `json:"explicitDeny"`
		Context      struct {
			Principal struct {
				ARN string `json:"arn"`
			} `json:"principal"`
			Action   string `json:"action"`
			Resource string `json:"resource"`
		} `json:"context"`
	}
	if err := json.Unmarshal([]byte(message), &told); err != nil || told.Context.Action == "" {
		return message
	}
	how := "no policy allows"
	if told.ExplicitDeny {
		how = "a policy denies"
	}
	parts := []string{how, told.Context.Action, "on", told.Context.Resource}
	if told.Context.Principal.ARN != "" {
		parts = append(parts, "to", told.Context.Principal.ARN)
	}
	return strings.Join(parts, " ")
}
