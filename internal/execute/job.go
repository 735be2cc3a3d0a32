package execute

import (
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A job is a delivery on its way through the stages.
type job struct {
	delivery batch.Delivery
	message  batch.Message
	record   state.Record // the request as read, or as it should be at its first receive
	input    batch.Input
	bad      error                           // why the line cannot be sent
	own      bool                            // this worker received it, and its event's answer says nothing of it
	isolated bool                            // nothing else runs beside it
	suspect  bool                            // it is one of the few of its kind that run at once
	aborted  bool                            // a worker had no time for its last call
	held     held                            // whether its request is this worker's
	request  state.Request[state.Processing] // as it was claimed, if it is held
	hold     *hold                           // of the room; nil before its line is read
	placed   bool                            // it has a place
	pass     *pass                           // how its call leaves; nil: not yet known

	listed listed // the ledger's
}

func (j *job) ref() batch.Ref { return j.message.Ref() }

func (j *job) attrs() []any {
	return []any{
		slog.String("batch", j.message.Batch), slog.Int("line", j.message.Line),
		slog.Int("receives", j.delivery.Receives),
	}
}

// A held is how a worker has a request.
type held int

const (
	heldNot      held = iota // it is not this worker's
	heldUncalled             // it is stored so, or may be, and no call of it has left
	heldCalled               // a call of it has left, or may have
)

// A standing is how far a message has come.
type standing int

const (
	idle     standing = iota // nothing is done with it: it cannot be read, or waits for its isolated turn
	underWay                 // it may bring an outcome
	calling                  // the same, and its call has left: an answer may be in hand
	buffered                 // its request's outcome is known, and not committed
	counted                  // its request's outcome is counted, and others may have to hear of that
	settled                  // it has its fate
)

// pending reports whether a message of this standing may bring an outcome.
func (s standing) pending() bool { return s == underWay || s == calling }

// inHand reports whether a message of this standing may have brought an outcome
// that is not committed.
func (s standing) inHand() bool { return s == calling || s == buffered }

// A listed is what the ledger knows of a message.
type listed struct {
	standing standing
	extended bool      // it is to be kept hidden
	hiddenAt time.Time // when it was hidden last for extendFor; zero: for the queue's own time
	fate     fate      // once it is settled
	gone     bool      // there is nothing more to do with it
	twins    []*job    // other messages of its request, which share its fate
}
