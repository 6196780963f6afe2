package localaws

import (
	"maps"
	"slices"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// ssmState is everything Systems Manager knows, guarded by Server.mu.
type ssmState struct {
	channels *datachannel.Service // made when the first is needed
	retry    time.Duration        // first wait of an agent that could not register; 0 is by profile
	places   map[ssmPlaceKey]*ssmPlace
}

type ssmPlaceKey struct{ account, region string }

// An ssmPlace is one account's Systems Manager in one region.
type ssmPlace struct {
	agents     map[string]*ssmAgent     // by instance id, once they have registered or tried to
	commands   map[string]*ssmCommand   // by command id
	sessions   map[string]*ssmSession   // by session id
	documents  map[string]*ssmDocument  // by name; AWS's own are in awsDocuments
	parameters map[string]*ssmParameter // by name; AWS's own come from publicParameters
	settings   map[string]ssmSetting    // by setting id, those that were changed
}

func newSSMState() *ssmState { return &ssmState{places: map[ssmPlaceKey]*ssmPlace{}} }

// ssmPlace is the state of an account in a region. s.mu is held.
func (s *Server) ssmPlace(account, region string) *ssmPlace {
	key := ssmPlaceKey{account, region}
	if s.ssm.places[key] == nil {
		s.ssm.places[key] = &ssmPlace{
			agents: map[string]*ssmAgent{}, commands: map[string]*ssmCommand{}, sessions: map[string]*ssmSession{},
			documents: map[string]*ssmDocument{}, parameters: map[string]*ssmParameter{}, settings: map[string]ssmSetting{},
		}
	}
	return s.ssm.places[key]
}

// ssm is the caller's Systems Manager.
func (c *call) ssm() *ssmPlace { return c.server.ssmPlace(c.caller.account, c.region) }

// ssmOperations are the actions of Systems Manager that this server answers.
func (s *Server) ssmOperations() map[string]operation {
	return operationsOf(
		ssmAgentOperations(), ssmCommandOperations(), ssmSessionOperations(),
		ssmDocumentOperations(), ssmParameterOperations(), ssmHistoryOperations(), ssmSettingOperations(), ssmTagOperations(),
	)
}

// ssmLeftovers are open sessions, commands that run, and what was put and not deleted.
func (s *Server) ssmLeftovers() []string {
	var left []string
	for _, place := range s.ssm.places {
		for id, session := range place.sessions {
			if session.ended.IsZero() {
				left = append(left, "ssm session "+id+" on "+session.target)
			}
		}
		for id, command := range place.commands {
			if command.runs() {
				left = append(left, "ssm command "+id)
			}
		}
		for name := range place.documents {
			left = append(left, "ssm document "+name)
		}
		for name := range place.parameters {
			left = append(left, "ssm parameter "+name)
		}
	}
	slices.Sort(left)
	return left
}

// sortedValues are a map's values in the order of its keys.
func sortedValues[V any](m map[string]V) []V {
	values := make([]V, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}

// deref is what p points to, or the zero value.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// ssmNextPage cuts a page of items out, as Systems Manager does: the token is opaque and only good for the next page.
func ssmNextPage[T any](c *call, items []T, maxResults *int64, token *string, byDefault, most int64) ([]T, *string, error) {
	size := byDefault
	if maxResults != nil {
		size = *maxResults
	}
	return paginate(c, items, &size, token, 1, most)
}
