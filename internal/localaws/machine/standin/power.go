package standin

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// power is reboot, poweroff and halt. A halted instance is a stopped one.
func power(name string, args []string) int {
	for _, a := range args {
		switch a {
		case "-p", "--poweroff", "-P":
			name = "poweroff"
		case "--reboot":
			name = "reboot"
		}
	}
	force := slices.ContainsFunc(args, func(a string) bool { return a == "-f" || a == "--force" || a == "-ff" })
	op := OpPowerOff
	if name == "reboot" {
		op = OpReboot
	}
	if s := needRoot("Failed to %s system via logind", name); s != 0 {
		return s
	}
	return request(Request{Op: op, Force: force})
}

func request(r Request) int {
	answer, err := ask(r)
	if err != nil {
		return fail(1, "%v", err)
	}
	if answer.Error != "" {
		return fail(1, "%s", answer.Error)
	}
	return 0
}

func runlevel(name string, args []string) int {
	if len(args) == 1 {
		switch args[0] {
		case "0":
			return power("poweroff", nil)
		case "6":
			return power("reboot", nil)
		case "3", "5", "q", "Q":
			return 0
		}
	}
	return fail(1, "%s: only runlevels 0 and 6 are simulated", name)
}

func shutdown(_ string, args []string) int {
	r, when := Request{Op: OpPowerOff}, ""
	for _, a := range args {
		switch {
		case a == "-c":
			r.Op = OpCancel
		case a == "-k":
			return fail(1, "shutdown: -k is not simulated")
		case strings.HasPrefix(a, "-"):
			if strings.Contains(a, "r") && !strings.HasPrefix(a, "--") || a == "--reboot" {
				r.Op = OpReboot
			}
		case when == "":
			when = a
		}
	}
	if s := needRoot("Failed to set wall message, ignoring"); s != 0 {
		return s
	}
	if r.Op == OpCancel {
		return request(r)
	}
	after, err := delay(when, time.Now())
	if err != nil {
		return fail(1, "Failed to parse time specification: %s", when)
	}
	r.After = after
	if status := request(r); status != 0 || after == 0 {
		return status
	}
	at := time.Now().Add(after)
	what := map[Op]string{OpReboot: "Reboot", OpPowerOff: "Shutdown"}[r.Op]
	fmt.Fprintf(os.Stderr, "%s scheduled for %s, use 'shutdown -c' to cancel.\n", what, at.Format("Mon 2006-01-02 15:04:05 MST"))
	return 0
}

// delay reads "now", "+5", "5" and "23:30"; "" is a minute.
func delay(when string, now time.Time) (time.Duration, error) {
	if when == "" {
		when = "+1"
	}
	if when == "now" {
		return 0, nil
	}
	if clock, err := time.Parse("15:04", when); err == nil {
		at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if !at.After(now) {
			at = at.AddDate(0, 0, 1)
		}
		return at.Sub(now), nil
	}
	minutes, err := strconv.ParseUint(strings.TrimPrefix(when, "+"), 10, 31)
	return time.Duration(minutes) * time.Minute, err
}

// idle is the main process of a service whose program is not installed.
func idle(_ string, args []string) int {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP)
	fmt.Printf("%s: a stand-in of localaws runs in its place and does nothing\n", strings.Join(args, " "))
	<-asked
	return 0
}
