// What the model knows of one task: its row, its messages wherever they are, and two workers.
#pragma once
#include <cstdint>
#include <cstring>

using i8 = int8_t;

enum Status : i8 {
  NO_ROW = '-',
  PENDING = 'P',
  RETRYING = 'T',
  RUNNING = 'R',
  SUCCESS = 'S',
  FAILED = 'F',
  CANCELLED = 'C',
};
inline bool terminal(i8 status) { return status == SUCCESS || status == FAILED || status == CANCELLED; }

// Who a running row names: worker 0, worker 1, or a worker that died, whose lease is still live or has run out.
enum Owner : i8 { NOBODY = -1, DEAD_LIVE = 2, DEAD_EXPIRED = 3 };

// What a message is, compared with the row. A new attempt turns every message but its own into a leftover.
enum Label : i8 {
  LEFTOVER = 0,     // carries an older attempt than the row, or is a wake-up
  NAMED = 1,        // the row's message_id
  CURRENT = 2,      // carries the row's attempt
  PLAIN = 3,        // a producer's copy without an id; a leftover once a row exists
  PLAIN_NAMED = 4,  // the same, and the attempt was started by one without an id, too: absent equals absent
  LABELS = 5,
};

enum Phase : i8 {  // of an attempt in memory
  EMPTY,
  HELD,      // waits for a slot (`waits`) or runs
  MARKED,    // … and its hand-off is written, its delivery not acked yet
  UNSURE,    // a write was sent and its reply lost
  DELAYING,  // `retrying` is written, the delayed message is not published
  ACKING,
  NACKING,
  WAKING,  // given back, and its delivery was handed off
};

enum Job : i8 {  // what happens to a delivery that is no attempt yet
  IDLE,
  CLAIMING,
  CLAIM_UNSURE,  // the claim was sent and its reply lost
  POSTPONING,    // a delayed message, then ack
  SENDING_ANEW,  // to the end of the queue, then ack
  SENT,          // ack
};

enum Mode : i8 { DEAD, UP, PAUSED, LEAVING };

enum Parking : i8 { NOT_PARKED, PARKED, FORGOTTEN };  // forgotten: nobody looks for it (only without a rule)
enum TypePause : i8 { NO_PAUSE, HOLDS, OVER };  // over: what is parked comes back

// A producer that writes the task's row before it publishes: what it does next. Withdrawn: the broker refused the message.
enum Producing : i8 { DONE, WRITES, PUBLISHES, NOTES, WITHDRAWN };

// Why an attempt in memory may be beside the row without breaking a promise.
enum Lapse : i8 { CUT_OFF = 1, OUTAGE = 2, UNCOMPARED = 4 };

struct Attempt {
  i8 phase, attempt, delivery;  // delivery: a label, or -1
  i8 lapse, later, run, after;  // later: label of its delayed message; run: of the task by hand; after: phase after UNSURE
  i8 waits;                     // claimed ahead, not started
};

struct Worker {
  i8 mode, lease, broker, store, trusted;
  Attempt held[2];
  i8 job, delivery, sends, seen;  // delivery: label in hand, or -1; sends: label of what it sends; seen: row's attempt
  i8 orphans[LABELS];             // deliveries that nobody settles (only where a rule is switched off)
};

struct State {
  i8 status, attempt, owner, handed_off, due, overdue, crashes, retries, cancel, interruptions, run, ahead;
  i8 unseen, owed;       // cancelled before its message came; callbacks that are owed for that
  i8 unstarted, starts;  // seen by nobody: whether the row's attempt has started; how often one has
  i8 ready[LABELS], delayed[LABELS];
  Worker worker[2];
  i8 faults_left, early_left, outage, dropped;
  i8 producer, its;     // what it does next; label of the message that it is to publish
  i8 fresh, unlooked;   // nobody has written the row since it was inserted; maintenance never looks for it
  i8 pause, parked;  // of the task's type; whether maintenance leaves the row alone until that is over

  int messages() const {
    int n = 0;
    for (int l = 0; l < LABELS; l++) n += ready[l] + delayed[l];
    for (const Worker& w : worker) {
      for (const Attempt& a : w.held) n += a.phase && a.delivery >= 0;
      n += w.job && w.delivery >= 0;
      for (i8 orphan : w.orphans) n += orphan;
    }
    return n;
  }

  // Whether the row means this attempt.
  bool names(const Attempt& a) const { return a.attempt == attempt && a.run == run; }
};

inline bool operator==(const State& a, const State& b) { return !memcmp(&a, &b, sizeof(State)); }
