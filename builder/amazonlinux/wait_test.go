package amazonlinux

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestPaces(t *testing.T) {
	for name, test := range map[string]struct {
		pace pace
		want map[time.Duration]time.Duration // by how long the wait has gone on
	}{
		"usual": {pollInterval, map[time.Duration]time.Duration{
			0: 250 * time.Millisecond, time.Second: 500 * time.Millisecond, 4 * time.Second: 2 * time.Second,
			59 * time.Second: 2 * time.Second, time.Hour: 3 * time.Second,
		}},
		"due after 15 s": {due(15 * time.Second), map[time.Duration]time.Duration{
			0: 250 * time.Millisecond, time.Second: 500 * time.Millisecond, 10 * time.Second: 3 * time.Second,
			14 * time.Second: time.Second, 15 * time.Second: time.Second, 74 * time.Second: time.Second, 2 * time.Minute: 3 * time.Second,
		}},
	} {
		for waited, want := range test.want {
			if got := test.pace(waited); got != want {
				t.Errorf("%s: after %s %s, want %s", name, waited, got, want)
			}
		}
	}
}

// waited is how late a wait sees that what it waits for is there after so long, and how often it looked.
func waited(t *testing.T, pace pace, there time.Duration) (late time.Duration, looks int) {
	t.Helper()
	began := time.Now()
	err := awaitAt(t.Context(), "it", 2*time.Hour, pace, func(context.Context) (bool, string, error) {
		looks++
		return time.Since(began) >= there, "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(began) - there, looks
}

// What takes as long as it mostly does is seen within a second, by few looks.
func TestWaitsAreSharp(t *testing.T) {
	for _, test := range []struct {
		what  string
		pace  pace
		there time.Duration
		late  time.Duration
		looks int
	}{
		{"on a simulated AWS", due(usuallyOnline), 300 * time.Millisecond, 300 * time.Millisecond, 3},
		{"the agent", due(usuallyOnline), 17300 * time.Millisecond, time.Second, 20},
		{"a late agent", due(usuallyOnline), 44700 * time.Millisecond, time.Second, 46},
		{"a stop", due(usuallyStopped), 30300 * time.Millisecond, time.Second, 30},
		{"a slow stop", due(usuallyStopped), 70 * time.Second, time.Second, 68},
		{"a very slow stop", due(usuallyStopped), 10 * time.Minute, 3 * time.Second, 260},
		{"what tells nothing", pollInterval, 25 * time.Second, 2 * time.Second, 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			late, looks := waited(t, test.pace, test.there)
			if late > test.late || looks > test.looks {
				t.Errorf("%s: seen %s late by %d looks, want %s and %d", test.what, late, looks, test.late, test.looks)
			}
		})
	}
}

// An image that tells how far it is is seen within a second, however long it takes; one that tells
// nothing, or jumps, within five.
func TestImagesAreSeenInTime(t *testing.T) {
	even := func(passed, whole time.Duration) string { return fmt.Sprintf("%d%%", passed*100/whole) }
	for name, test := range map[string]struct {
		percent func(passed, whole time.Duration) string
		late    time.Duration
	}{
		"even":        {even, time.Second},
		"in steps":    {func(passed, whole time.Duration) string { return fmt.Sprintf("%d%%", passed*10/whole*10) }, farPoll},
		"silent":      {func(time.Duration, time.Duration) string { return "" }, slowPoll},
		"stuck at 99": {func(time.Duration, time.Duration) string { return "99%" }, slowPoll},
		"jumps":       {func(passed, whole time.Duration) string { return fmt.Sprintf("%d%%", passed*50/whole) }, farPoll},
	} {
		for _, whole := range []time.Duration{45 * time.Second, 90 * time.Second, 3 * time.Minute, 4*time.Minute + 300*time.Millisecond, 10 * time.Minute, 40 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				reads := 0
				api := &ec2Calls{DescribeSnapshots: func(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error) {
					reads++
					said := test.percent(time.Since(began), whole)
					return &ec2.DescribeSnapshotsOutput{Snapshots: []types.Snapshot{{SnapshotId: aws.String("snap-1"), Progress: aws.String(said)}}}, nil
				}}
				p := newProgress(&build{ui: new(recorder)}, &pending{api: api})
				looks := 0
				err := awaitAt(t.Context(), "image", 2*time.Hour, p.pace, func(ctx context.Context) (bool, string, error) {
					looks++
					if time.Since(began) >= whole {
						return true, "", nil
					}
					return false, p.see(ctx), nil
				})
				late := time.Since(began) - whole
				if err != nil || late > test.late {
					t.Errorf("%s, %s: seen %s late, want %s; %v", name, whole, late, test.late, err)
				}
				if most := 35 + int(whole/farPoll) + int(whole/progressEvery); name == "even" && looks+reads > most {
					t.Errorf("%s, %s: %d looks and %d at the snapshots, want %d", name, whole, looks, reads, most)
				}
			})
		}
	}
}
