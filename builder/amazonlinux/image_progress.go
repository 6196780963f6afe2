package amazonlinux

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const (
	firstProgress = 10 * time.Second
	progressEvery = 30 * time.Second

	// farPoll is how long a wait sleeps while AWS itself says that the end is far.
	farPoll = 5 * time.Second
)

// progress is how far an image's snapshots are. It is printed now and then, and
// tells when the image may be there at the earliest: until then looks are seldom,
// and from then on there is one every second.
type progress struct {
	b        *build
	of       *pending
	began    time.Time
	next     time.Time // of the look at the snapshots
	last     string
	earliest time.Time // zero where AWS says nothing of it
}

func newProgress(b *build, of *pending) *progress {
	now := time.Now()
	return &progress{b: b, of: of, began: now, next: now.Add(firstProgress)}
}

func (p *progress) pace(waited time.Duration) time.Duration {
	left := time.Until(p.earliest)
	switch {
	case p.earliest.IsZero() || left < -longWait:
		return pollInterval(waited)
	case left > closePoll:
		return min(left, farPoll)
	}
	return closePoll
}

// see returns what was seen last. The look is a courtesy: its failure is not the build's.
func (p *progress) see(ctx context.Context) string {
	now := time.Now()
	if now.Before(p.next) {
		return "pending " + p.last
	}
	p.next = now.Add(progressEvery)
	snapshots, err := ownSnapshots(ctx, p.of.api, p.b)
	if err != nil || len(snapshots) == 0 {
		return "pending " + p.last
	}
	parts := make([]string, len(snapshots))
	for i, s := range snapshots {
		parts[i] = fmt.Sprintf("%s %s", aws.ToString(s.SnapshotId), aws.ToString(s.Progress))
	}
	p.earliest = time.Time{}
	if least, known := leastLeft(now.Sub(p.began), snapshots); known {
		p.earliest = now.Add(least)
	}
	if seen := strings.Join(parts, ", "); seen != p.last {
		p.last = seen
		p.b.ui.Say(fmt.Sprintf("Snapshot in %s: %s", p.of.target.region, seen))
	}
	return "pending " + p.last
}

// leastLeft is how long the slowest of the snapshots still takes at least, if it goes on as it
// has: its percentage has no digits after the point, so it may be all but one more.
func leastLeft(passed time.Duration, snapshots []types.Snapshot) (least time.Duration, known bool) {
	for _, s := range snapshots {
		percent, err := strconv.Atoi(strings.TrimSuffix(aws.ToString(s.Progress), "%"))
		if err != nil || percent < 0 || percent > 100 {
			continue
		}
		known = true
		least = max(least, passed*time.Duration(99-percent)/time.Duration(percent+1))
	}
	return least, known
}
