package datachannel

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newNap gives a sleep for one goroutine that is as long as the kernel makes it, about 0.1 ms too long, whatever else goes on.
// The runtime's own timers wait in epoll, which counts in whole milliseconds: with many sessions in one process, each 1 ms
// becomes 1.5 and more. The agent has a process for each session, so on AWS none of them holds up another.
func newNap() (nap func(time.Duration), end func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return time.Sleep, func() {}
	}
	timer := os.NewFile(uintptr(fd), "timer")
	nap = func(d time.Duration) {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
		if unix.TimerfdSettime(fd, 0, &spec, nil) != nil {
			time.Sleep(d)
			return
		}
		var expirations [8]byte
		_, _ = timer.Read(expirations[:]) // returns when it has run out
	}
	return nap, func() { _ = timer.Close() }
}
