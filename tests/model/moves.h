// A move from one state to the next, and what every rule does to a row and to messages.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "settings.h"
#include "state.h"

struct Move {
  State to;
  const char* name;
  i8 worker;
  bool fault;
};

constexpr i8 NOTHING_SEEN = -1;  // in `seen`: an ack that nothing can come between

inline bool known(i8 label) { return label == NAMED || label == CURRENT || label == PLAIN_NAMED; }
inline bool going(const Attempt& a) { return a.phase == HELD || a.phase == MARKED; }
inline bool runs(const Attempt& a) { return going(a) && !a.waits; }
inline int running(const Worker& w) { return runs(w.held[0]) + runs(w.held[1]); }
inline bool waits_for_due(const State& s) { return s.status == PENDING || s.status == RETRYING; }
inline bool is_row(const State& s, int me, const Attempt& a) {
  return s.status == RUNNING && s.owner == me && s.names(a);
}
inline Attempt* in_memory(State& s, int me) {
  for (Attempt& a : s.worker[me].held)
    if (a.phase && s.names(a)) return &a;
  return nullptr;
}
inline bool expired(const State& s, int me) {
  if (s.owner == DEAD_EXPIRED) return true;
  return s.owner >= 0 && s.owner < 2 && s.owner != me && !s.worker[s.owner].lease;
}
inline bool may_rescue(const State& s, int me) { return expired(s, me) && (!rule.trust || s.worker[me].trusted); }

// A place for another attempt in memory, or -1. One that is not claimed ahead needs a slot, too.
inline int place(const Worker& w, bool ahead) {
  int used = 0, free = -1;
  for (int j = 0; j < 2; j++) w.held[j].phase ? used++ : free = j;
  if (!size.ahead) return used < size.slots ? free : -1;
  if (used >= size.slots + size.ahead) return -1;
  return ahead || running(w) < size.slots ? free : -1;
}

inline void reset(Worker& w) {
  memset(&w, 0, sizeof w);
  w.lease = w.broker = w.store = 1;
}

inline State first_state() {
  State s;
  memset(&s, 0, sizeof s);
  s.status = NO_ROW, s.owner = NOBODY;
  if (size.submitted) s.producer = WRITES;
  else s.ready[PLAIN] = 1;
  s.faults_left = static_cast<i8>(size.faults), s.early_left = static_cast<i8>(size.early);
  for (Worker& w : s.worker) reset(w), w.mode = UP, w.trusted = 1;
  return s;
}

class Moves {
 public:
  std::vector<Move> all;
  std::string broken;  // what must never happen, and is about to
  long cut = 0;        // branches with too many messages

 protected:
  State s0;

  template <class Change>
  void step(const char* name, int i, Change change) {
    State s = s0;
    change(s);
    reach(s, name, i, false);
  }
  template <class Change>
  void fault(bool allowed, const char* name, int i, Change change) {
    if (!allowed || !s0.faults_left) return;
    State s = s0;
    change(s);
    s.faults_left--;
    reach(s, name, i, true);
  }
  // The same moves under another name for "a write was applied and its reply lost".
  void reply_lost(State s, int i, int j) {
    Attempt& a = s.worker[i].held[j];
    a.after = a.phase, a.phase = UNSURE;
    s.faults_left--;
    reach(s, "WRITE'S REPLY LOST", i, true);
  }

  // -- states that mean the same become one ---------------------------------------------------------------------------

  void reach(State s, const char* name, int i, bool is_fault) {
    if (s.messages() > size.messages) {
      cut++;
      return;
    }
    if (s.fresh && s.producer == s0.producer && written_since(s)) s.fresh = 0;
    if (s.producer == DONE || s.producer == WITHDRAWN) s.its = s.fresh = 0;
    for (Worker& w : s.worker) tidy(w);
    if (s.status != RUNNING) s.owner = NOBODY, s.ahead = s.unstarted = 0;
    if (!waits_for_due(s)) s.parked = s.unlooked = 0;
    if (!size.poison) s.starts = 0;
    if (s.status != NO_ROW && rule.attempt_grows && rule.budget_of_failures) count_anew(s);
    if (terminal(s.status)) s.interruptions = 0;
    if (terminal(s.status) && !s.unseen && !(may_run_again(s) && may.retried && s.faults_left)) {
      const i8 end = s.status;
      s = first_state();
      memset(s.ready, 0, sizeof s.ready);
      s.producer = DONE;
      s.status = end, s.faults_left = s.early_left = 0;
    }
    const int order = memcmp(&s.worker[0], &s.worker[1], sizeof(Worker));
    if (order > 0 || (order == 0 && s.owner == 1)) {
      std::swap(s.worker[0], s.worker[1]);
      if (s.owner == 0 || s.owner == 1) s.owner = 1 - s.owner;
    }
    all.push_back({s, name, static_cast<i8>(i), is_fault});
  }
  // Every write to a row changes it, whatever it writes; a clock does not.
  bool written_since(const State& s) const {
    return s.status != s0.status || s.attempt != s0.attempt || s.handed_off != s0.handed_off ||
           s.crashes != s0.crashes || s.parked != s0.parked || s.run != s0.run || s.overdue < s0.overdue;
  }
  static void tidy(Worker& w) {
    for (Attempt& a : w.held)
      if (!a.phase) memset(&a, 0, sizeof a);
    if (memcmp(&w.held[0], &w.held[1], sizeof(Attempt)) > 0) std::swap(w.held[0], w.held[1]);
    if (!w.held[0].phase) std::swap(w.held[0], w.held[1]);
    if (w.job == SENT && w.seen == NOTHING_SEEN) w.job = IDLE;
    if (w.job == IDLE) w.delivery = w.sends = w.seen = 0;
    if (w.mode != DEAD && !w.lease && (w.mode == PAUSED || !w.store)) lapse(w, CUT_OFF);
  }
  // Attempts only matter by whether they are the row's.
  static void count_anew(State& s) {
    for (Worker& w : s.worker) {
      for (Attempt& a : w.held)
        if (a.phase) a.attempt = a.attempt == s.attempt;
      if (w.job != IDLE) w.seen = w.seen == s.attempt;
    }
    s.attempt = 1;
  }
  static void lapse(Worker& w, Lapse why) {
    for (Attempt& a : w.held)
      if (a.phase) a.lapse |= a.waits ? UNCOMPARED : why;
  }

  // Somebody may want it run again, once.
  static bool may_run_again(const State& s) {
    return (s.status == FAILED || s.status == CANCELLED) && !s.unseen && !s.run;
  }

  // -- messages -------------------------------------------------------------------------------------------------------

  static void relabel(State& s, const i8 (&as)[LABELS]) {
    const auto moved = [&](i8* counts) {
      i8 new_counts[LABELS] = {};
      for (int l = 0; l < LABELS; l++) new_counts[as[l]] += counts[l];
      memcpy(counts, new_counts, LABELS);
    };
    moved(s.ready), moved(s.delayed);
    s.its = as[s.its];
    for (Worker& w : s.worker) {
      for (Attempt& a : w.held) {
        if (!a.phase) continue;
        if (a.delivery >= 0) a.delivery = as[a.delivery];
        a.later = as[a.later];
      }
      if (w.job) w.sends = as[w.sends];
      if (w.job && w.delivery >= 0) w.delivery = as[w.delivery];
      moved(w.orphans);
    }
  }
  static void all_become_leftovers(State& s) { relabel(s, {LEFTOVER, LEFTOVER, LEFTOVER, PLAIN, PLAIN}); }

  // The row takes this message for its own: what it is from now on.
  static i8 name(State& s, i8 label) {
    if (!rule.leftovers) return label;
    const bool plain = label >= PLAIN;
    if (plain && rule.own_message) {
      relabel(s, {LEFTOVER, LEFTOVER, LEFTOVER, PLAIN_NAMED, PLAIN_NAMED});
      return PLAIN_NAMED;
    }
    all_become_leftovers(s);
    return rule.own_message ? NAMED : plain ? PLAIN : LEFTOVER;
  }
  static i8 current() { return rule.leftovers ? CURRENT : LEFTOVER; }
  static void requeue_all(State& s, int i) {
    Worker& w = s.worker[i];
    for (Attempt& a : w.held)
      if (a.phase && a.delivery >= 0) s.ready[a.delivery]++, a.delivery = -1;
    if (w.job && w.delivery >= 0) s.ready[w.delivery]++;
    w.job = IDLE;
    for (int l = 0; l < LABELS; l++) s.ready[l] += w.orphans[l], w.orphans[l] = 0;
  }

  // -- the row --------------------------------------------------------------------------------------------------------

  void end(State& s, Status status) {
    if (terminal(s.status)) broken = "a second end";
    s.status = status, s.owner = NOBODY;
    s.due = s.overdue = s.handed_off = s.cancel = 0;
  }
  static void waits_again(State& s) { s.status = PENDING, s.due = 1, s.overdue = s.parked = 0; }

  void begins(State& s) {
    if (!size.poison) return;
    const int most = size.max_crashes + 2 + size.poison_per_fault * (size.faults - s.faults_left);
    if (++s.starts > most) s.starts = static_cast<i8>(most), broken = "a poison starts too often";
  }

  // Worker i claims with this delivery (-1: none). `waits`: no slot yet. `writes`: a new attempt, else a lost claim's.
  void hold(State& s, int i, i8 delivery, bool writes, bool waits, bool ahead) {
    Worker& w = s.worker[i];
    const int j = place(w, waits);
    if (writes) {
      if (s.cancel || s.unseen) broken = "a cancelled task starts again";
      if (s.producer == WITHDRAWN && !may.produced_twice) broken = "what was refused runs";
      s.unseen = 0;
      s.attempt++, s.status = RUNNING, s.owner = static_cast<i8>(i);
      s.due = s.overdue = 0, s.handed_off = delivery < 0;
      s.ahead = ahead, s.unstarted = waits;
    } else if (!waits) {
      s.unstarted = 0;
    }
    w.job = IDLE;
    if (delivery >= 0) delivery = name(s, delivery);
    w.held[j] = {HELD, s.attempt, delivery, 0, 0, s.run, 0, static_cast<i8>(waits)};
    if (!waits) begins(s);
  }
  static void die(State& s, int i, bool says_goodbye) {
    requeue_all(s, i);
    Worker& w = s.worker[i];
    if (s.owner == i) s.owner = w.lease && !says_goodbye ? DEAD_LIVE : DEAD_EXPIRED;
    reset(w);
    w.trusted = !rule.trust;
  }
};
