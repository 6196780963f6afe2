package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	sdklog "log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/bench/cloud"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// A world is one instance, the communicator connected to it, and what happens to them.
type world struct {
	options options
	counts  *counts
	dir     string // scratch, on this side
	cloud   *cloud.Cloud
	http    *http.Client
	log     io.WriteCloser // the client's own
	comm    *communicator.Communicator
	boots   boots

	failing sync.Once
	failed  chan struct{} // closed at the first failure
	failure error         // written before failed is closed
}

// model is AWS's, in haste: the hourly close comes every few seconds.
func model() datachannel.Model {
	m := datachannel.Realistic()
	m.CloseEvery, m.WorkerStart, m.AgentReconnect = 7*time.Second, 20*time.Millisecond, 300*time.Millisecond
	return m
}

// delays are short, but not nothing: what takes no time can't be interrupted.
func delays() *localaws.Delays {
	return &localaws.Delays{
		APILatency: 2 * time.Millisecond, InstancePending: 200 * time.Millisecond, AgentOnline: 500 * time.Millisecond,
		CommandVisible: 20 * time.Millisecond, CommandDelivery: 20 * time.Millisecond, CommandResult: 20 * time.Millisecond,
		TerminatedVisible: time.Hour,
	}
}

// pass makes a world, lets work and faults loose in it, and takes it down again.
func pass(ctx context.Context, o options, c *counts) (err error) {
	w := &world{options: o, counts: c, failed: make(chan struct{}), http: &http.Client{Transport: &http.Transport{}}}
	if w.dir, err = os.MkdirTemp("", "ssm-soak-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	if w.log, err = w.logFile(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.log.Close()) }()
	if w.cloud, err = cloud.Start(ctx, localaws.Options{Delays: delays()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.cloud.Close(ctx)) }()
	defer w.http.CloseIdleConnections()
	w.cloud.Server.SetChannelModel(model())
	return w.live(ctx)
}

// live connects, works until the time is over, and leaves.
func (w *world) live(ctx context.Context) error {
	processes, err := w.processes(ctx)
	if err != nil {
		return err
	}
	if err := w.connect(ctx); err != nil {
		return err
	}
	w.work(ctx)
	err = w.failureSoFar()
	if closeErr := w.comm.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	return errors.Join(w.noSessions(), w.sameProcesses(ctx, processes))
}

func (w *world) connect(ctx context.Context) error {
	sdklog.SetOutput(w.log) // the SDK's SSH writes there
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	way := &cloud.Way{Config: w.cloud.Config, Instance: w.cloud.Instance, Log: log}
	way.Config.HTTPClient = w.http
	var err error
	w.comm, err = communicator.Connect(ctx, way.Link(), communicator.Config{Logger: log, Say: func(string) {}})
	return err
}

// logFile is where the client's own log goes: the file that SOAK_LOG names, or nowhere.
func (w *world) logFile() (io.WriteCloser, error) {
	path := os.Getenv("SOAK_LOG")
	if path == "" || w.options.calm {
		path = os.DevNull
	}
	return os.Create(path)
}

// work runs the workers and the faults until the time is over or something has failed, and then waits for them.
func (w *world) work(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.options.lasts)
	defer cancel()
	var workers, storm sync.WaitGroup
	calm := make(chan struct{}) // closed when the workers are done
	if !w.options.calm {
		s := &weather{world: w, random: w.random(0)}
		storm.Go(func() { s.rage(ctx) })
	}
	for i, job := range []func(*rand.Rand) error{w.command, w.command, w.command, w.file, w.file, w.folder} {
		random := w.random(uint64(i + 1))
		workers.Go(func() { w.repeat(ctx, random, job) })
	}
	storm.Go(func() { w.report(calm) })
	workers.Wait()
	close(calm)
	cancel()
	storm.Wait()
}

func (w *world) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(w.options.seed, n)) }

// repeat does a job again and again. What fails while the instance reboots is done again afterwards.
func (w *world) repeat(ctx context.Context, random *rand.Rand, job func(*rand.Rand) error) {
	for ctx.Err() == nil && w.failureSoFar() == nil {
		if err := job(random); err != nil {
			w.fail(err)
		}
	}
}

func (w *world) fail(err error) {
	w.failing.Do(func() {
		w.failure = err
		close(w.failed)
	})
}

func (w *world) failureSoFar() error {
	select {
	case <-w.failed:
		return w.failure
	default:
		return nil
	}
}

// report prints how far it is, once a minute.
func (w *world) report(until <-chan struct{}) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Printf("%s: %d faults, %d operations verified, %d interrupted\n", time.Now().Format(time.TimeOnly),
				w.counts.total(faultCount), w.counts.total(workCount), w.counts.total(lostCount))
		case <-until:
			return
		}
	}
}
