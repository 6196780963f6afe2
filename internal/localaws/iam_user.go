package localaws

import (
	"strings"
	"time"
)

// iamOperations is every action of IAM that this server answers.
func (s *Server) iamOperations() map[string]operation {
	return operationsOf(
		s.iamRoleOperations(),
		s.iamRolePolicyOperations(),
		s.iamManagedOperations(),
		s.iamPolicyVersionOperations(),
		s.iamProfileOperations(),
		s.iamTagOperations(),
		map[string]operation{
			"GetUser":                 queryOp(getUser),
			"ListAccountAliases":      queryOp(listAccountAliases),
			"SimulatePrincipalPolicy": queryOp(simulatePrincipalPolicy),
		},
	)
}

type getUserIn struct {
	UserName string `query:"UserName"`
}

type userView struct {
	Path       string
	UserName   string
	UserID     string `xml:"UserId"`
	Arn        string
	CreateDate time.Time
}

type getUserOut struct{ User userView }

func getUser(c *call, in *getUserIn) (*getUserOut, error) {
	name := in.UserName
	if name == "" {
		name = c.caller.user
	}
	if name == "" {
		return nil, refuse("ValidationError", "Must specify userName when calling with non-User credentials")
	}
	u := c.account().users[name]
	if u == nil {
		return nil, noSuchEntity("The user with name %s cannot be found.", name)
	}
	return &getUserOut{userView{u.path, u.name, u.id, u.arn, u.created.Truncate(time.Second)}}, nil
}

type listAccountAliasesOut struct {
	AccountAliases []string `xml:"AccountAliases>member"`
	iamMore
}

func listAccountAliases(*call, *iamPage) (*listAccountAliasesOut, error) {
	return &listAccountAliasesOut{}, nil
}

type simulateIn struct {
	PolicySourceArn string       `query:"PolicySourceArn,required"`
	ActionNames     []string     `query:"ActionNames,required"`
	ResourceArns    []string     `query:"ResourceArns"`
	ContextEntries  []contextArg `query:"ContextEntries"`
	iamPage
}

type contextArg struct {
	Name   string   `query:"ContextKeyName,required"`
	Type   string   `query:"ContextKeyType"`
	Values []string `query:"ContextKeyValues"`
}

type simulation struct {
	EvalActionName       string
	EvalResourceName     string
	EvalDecision         string     // "allowed", "explicitDeny", "implicitDeny"
	MatchedStatements    []struct{} `xml:"MatchedStatements>member"`
	MissingContextValues []string   `xml:"MissingContextValues>member"`
}

type simulateOut struct {
	EvaluationResults []simulation `xml:"EvaluationResults>member"`
	iamMore
}

// simulatePrincipalPolicy answers what a user or role of the account may do.
func simulatePrincipalPolicy(c *call, in *simulateIn) (*simulateOut, error) {
	who, err := c.principalOf(in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	context := contextOf(who, c.now)
	for _, entry := range in.ContextEntries {
		context[strings.ToLower(entry.Name)] = entry.Values
	}
	var all []simulation
	for _, action := range in.ActionNames {
		for _, resource := range resources {
			q := question{action: action, resource: resource, context: context}
			all = append(all, simulation{EvalActionName: action, EvalResourceName: resource, EvalDecision: c.simulate(who, q)})
		}
	}
	results, more, err := iamPaginate(c, all, in.iamPage)
	return &simulateOut{results, more}, err
}

func (c *call) simulate(who principal, q question) string {
	switch why := c.server.iam.decide(who, q, c.now); {
	case why == "":
		return "allowed"
	case strings.Contains(why, "explicit deny"):
		return "explicitDeny"
	default:
		return "implicitDeny"
	}
}

// principalOf is the user or role of the caller's account that an ARN names.
func (c *call) principalOf(arn string) (principal, error) {
	account := c.account()
	for _, u := range account.users {
		if u.arn == arn {
			return principal{account: account.id, arn: arn, userID: u.id, user: u.name}, nil
		}
	}
	for _, r := range account.roles {
		if r.arn == arn {
			return principal{account: account.id, arn: arn, userID: r.id + ":simulation", role: r.name}, nil
		}
	}
	return principal{}, noSuchEntity("Entity %s does not exist", arn)
}
