package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/wait"
)

// stopPatience is how long a process may take to end in good order: everything of a cloud ends within 15 seconds.
const stopPatience = 10 * time.Second

// A process is a program that outlives the command that started it. Its record lies in the state folder: the id, and the
// time of its start, since an id alone may belong to someone else by now.
type process struct {
	name   string
	folder string
}

type processRecord struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

// start runs a program in a session of its own, with its output in a log file, and records it.
func (p process) start(program string, args, env []string) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	//nolint:noctx // it is ours by name, and must outlive this command and its context
	cmd := exec.Command(program, args...)
	cmd.Dir = p.folder
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	record := processRecord{PID: cmd.Process.Pid}
	record.Started, err = startTime(record.PID)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // Reaps it, should it end while this command still runs.
	return checkout.WriteFile(p.recordPath(), data)
}

func (p process) recordPath() string { return filepath.Join(p.folder, p.name+".pid") }
func (p process) log() string        { return filepath.Join(p.folder, p.name+".log") }

// alive gives the record of the process, and whether it runs.
func (p process) alive() (processRecord, bool) {
	var record processRecord
	data, err := os.ReadFile(p.recordPath())
	if err != nil || json.Unmarshal(data, &record) != nil || record.PID <= 1 {
		return processRecord{}, false
	}
	started, err := startTime(record.PID)
	return record, err == nil && started == record.Started
}

// stop ends the process and what is left of its group: a request first, force after 10 seconds. It reports whether
// there was anything to end.
func (p process) stop(ctx context.Context) (bool, error) {
	record, alive := p.alive()
	if !alive {
		return false, p.forget()
	}
	if err := syscall.Kill(record.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("end %s: %w", p.name, err)
	}
	ended := func() (bool, error) { _, alive := p.alive(); return !alive, nil }
	if err := wait.Until(ctx, stopPatience, ended); err != nil && !errors.Is(err, wait.ErrTimeout) {
		return false, err
	}
	// The group is the process's own, so what is left in it are its children, or itself if it did not heed.
	if err := syscall.Kill(-record.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("end the group of %s: %w", p.name, err)
	}
	groupEnded := func() (bool, error) {
		return errors.Is(syscall.Kill(-record.PID, 0), syscall.ESRCH), nil
	}
	if err := wait.Until(ctx, stopPatience, groupEnded); err != nil {
		return false, fmt.Errorf("end the group of %s: %w", p.name, err)
	}
	return true, p.forget()
}

func (p process) forget() error {
	if err := os.Remove(p.recordPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// tail gives the last lines of the process's log, for an error.
func (p process) tail() string { return checkout.Tail(p.log()) }

// startTime tells when a process started, in whatever unit the system keeps; a process that has ended but was not
// waited for has none.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, os.ErrNotExist) {
		return startTimeByPS(pid)
	}
	if err != nil {
		return "", err
	}
	// The second field is the program's name in brackets, which may hold anything; the fields after it are plain.
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	const stateField, startField = 0, 19 // Fields 3 and 22 of proc(5).
	if len(fields) <= startField || fields[stateField] == "Z" {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return fields[startField], nil
}

// startTimeByPS is for systems without /proc, such as macOS.
func startTimeByPS(pid int) (string, error) {
	if _, err := os.Stat("/proc/self"); err == nil {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	//nolint:noctx // a number is its only argument, and it ends at once
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	status, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || started == "" || strings.HasPrefix(status, "Z") {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strings.TrimSpace(started), nil
}
