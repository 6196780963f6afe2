package datachannel

// habits are what agents of some versions do unlike the newest ones.
type habits struct {
	single   bool // forwards one connection a session, whatever the document and the client say
	hasty    bool // acknowledges data that comes before it is ready, and loses it
	nervous  bool // keeps its own watch over a multiplexed session, which dies of 30 s without a frame
	taciturn bool // acknowledges no message twice
}

// habitsOf tells them from the agent's version. That old agents acknowledge once only is known of versions to 3.1.1511; new ones
// don't, and of those between nothing is known.
func habitsOf(version string) habits {
	return habits{
		single:   compareVersions(version, "3.0.196.0") <= 0,
		hasty:    compareVersions(version, "3.0.655.0") < 0,
		nervous:  compareVersions(version, "3.1.1446.0") < 0,
		taciturn: compareVersions(version, "3.1.1511.0") <= 0,
	}
}
