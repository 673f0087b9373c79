// What happens to workers, on a clock, and around them: everything that may come next.
#pragma once
#include "attempts.h"

class Workers : public Attempts {
 public:
  void of(const State& state) {
    all.clear();
    broken.clear();
    s0 = state;
    for (int i = 0; i < 2; i++) worker(i);
    surroundings();
  }

 private:
  void worker(int i) {
    const Worker& w = s0.worker[i];
    const bool store = w.store && !s0.outage;
    const auto with = [&](auto change) { return [&s0 = s0, i, change](State& s) { change(s.worker[i]); }; };
    if (w.mode == DEAD) return step("starts again", i, with([](Worker& v) { v.mode = UP; }));
    if (w.mode == PAUSED) {
      step("goes on", i, with([](Worker& v) { v.mode = UP; }));
      if (w.broker) step("is disconnected", i, [&](State& s) { requeue_all(s, i), s.worker[i].broker = 0; });
    }
    if (w.lease && (w.mode == PAUSED || !store)) step("its lease lapses", i, with([&](Worker& v) {
        v.lease = v.trusted = 0;
        lapse(v, v.mode == PAUSED || !v.store ? CUT_OFF : OUTAGE); }));
    faults_of(i);
    if (w.mode == PAUSED) return;
    if (!w.store) step("reaches the store again", i, with([](Worker& v) { v.store = 1; }));
    if (!w.broker) step("connects again", i, with([](Worker& v) { v.broker = 1; }));
    if (store) heartbeat(i);
    receives(i, store);
    for (int j = 0; j < 2; j++)
      if (w.held[j].phase) attempt(i, j, store);
    if (w.mode == UP && store) maintains(i);
    if (w.mode == LEAVING) goes(i, store);
  }
  void faults_of(int i) {
    const Worker& w = s0.worker[i];
    const bool up = w.mode == UP, awake = w.mode != PAUSED;
    bool busy = w.job || w.held[0].phase || w.held[1].phase;
    for (i8 orphan : w.orphans) busy |= orphan > 0;
    if (!busy) return;
    fault(may.crash, "CRASH", i, [&](State& s) { die(s, i, false); });
    fault(may.pause && up, "PAUSE", i, [&](State& s) { s.worker[i].mode = PAUSED; });
    fault(may.disconnect && awake && w.broker, "DISCONNECTED", i, [&](State& s) {
      requeue_all(s, i), s.worker[i].broker = 0; });
    fault(may.cut_off && awake && w.store, "CUT OFF FROM THE STORE", i, [&](State& s) {
      s.worker[i].store = 0;
      if (rule.trust) s.worker[i].trusted = 0; });
    const auto leave = [&](State& s) { s.worker[i].mode = LEAVING; };
    if (up && size.free_shutdowns) step("SHUTDOWN", i, leave);
    else fault(may.shutdown && up, "SHUTDOWN", i, leave);
  }
  void heartbeat(int i) {
    const Worker& w = s0.worker[i];
    const Worker& other = s0.worker[1 - i];
    const bool other_will_renew = (other.mode == UP || other.mode == LEAVING) && other.store && !other.lease;
    if (w.mode == UP && w.lease && !w.trusted && rule.trust && !other_will_renew)
      step("trusts leases again", i, [&](State& s) { s.worker[i].trusted = 1; });
    if (!w.lease) step("renews its lease", i, [&](State& s) {
        s.worker[i].lease = 1;
        if (!rule.trust) s.worker[i].trusted = 1; });
    if (!w.lease || !rule.reconcile) return;
    for (int j = 0; j < 2; j++)
      if (going(w.held[j]) && !is_row(s0, i, w.held[j]))
        step("kills an attempt that is not the row's", i, [&](State& s) { s.worker[i].held[j].phase = ACKING; });
    if (s0.status == RUNNING && s0.owner == i && w.job != CLAIM_UNSURE && !in_memory(s0, i))
      step("gives back a row without an attempt", i, [&](State& s) {
        if (s.cancel && rule.cancel_wins) return end(s, CANCELLED);
        waits_again(s), s.handed_off = 1; });
  }
  void maintains(int i) {
    const bool broker = s0.worker[i].broker;
    if (waits_for_due(s0) && s0.overdue && broker) step("wakes an overdue row", i, [](State& s) {
        s.ready[LEFTOVER]++;
        if (rule.move_next_check) s.overdue = 0; });
    if (s0.pause == OVER) releases(i, broker);
    if (s0.status != RUNNING || !may_rescue(s0, i)) return;
    if (rule.wake_orphans) {
      if (s0.overdue && broker) step("wakes an orphan", i, [](State& s) { s.ready[LEFTOVER]++, s.overdue = 0; });
      return;
    }
    const bool lost = s0.crashes + 1 > size.max_crashes, can = place(s0.worker[i], false) >= 0 && !s0.worker[i].job;
    const bool cancelled = s0.cancel && rule.cancel_wins;
    if (s0.handed_off && (cancelled || lost || can)) step("claims an orphan itself", i, [&](State& s) {
        if (cancelled || lost) return end(s, cancelled ? CANCELLED : FAILED);
        s.crashes++, hold(s, i, -1, true, false, false); });
  }
  void releases(int i, bool broker) {
    const auto moved = [](State& s) { s.parked = rule.looked_for_again ? NOT_PARKED : FORGOTTEN; };
    if (s0.parked == PARKED && broker) step("brings back what was parked", i, [&](State& s) { moved(s), s.ready[LEFTOVER]++; });
    if (s0.parked == PARKED) fault(may.crash, "ITS WAKE-UP IS LOST", i, moved);
    if (s0.parked != PARKED || !rule.forget_last) step("forgets the pause", i, [](State& s) { s.pause = NO_PAUSE; });
  }
  void goes(int i, bool store) {
    const Worker& w = s0.worker[i];
    const bool empty = !w.held[0].phase && !w.held[1].phase && !w.job;
    if (empty) step("is gone", i, [&](State& s) { die(s, i, store); });
    else if (!w.broker || !store) step("runs out of patience", i, [&](State& s) { die(s, i, false); });
  }

  // -- clocks, servers, people ----------------------------------------------------------------------------------------

  void surroundings() {
    if (s0.owner == DEAD_LIVE) step("a dead worker's lease lapses", 0, [](State& s) { s.owner = DEAD_EXPIRED; });
    for (int l = 0; l < LABELS; l++) {
      if (!s0.delayed[l]) continue;
      step("a delayed message comes due", 0, [&](State& s) { s.delayed[l]--, s.ready[l]++; });
      fault(may.delayed_dropped, "DELAYED DROPPED", 0, [&](State& s) { s.delayed[l]--, s.dropped = 1; });
    }
    if (waits_for_due(s0) && !s0.due) step("it becomes due", 0, [](State& s) { s.due = 1; });
    overdue();
    submits();
    fault(may.type_paused && !s0.pause, "TYPE PAUSED", 0, [](State& s) { s.pause = HOLDS; });
    if (s0.pause == HOLDS) step("the pause is over", 0, [](State& s) { s.pause = OVER; });
    if (s0.outage) step("the store is back", 0, [](State& s) { s.outage = 0; });
    else fault(may.outage, "STORE OUTAGE", 0, [](State& s) {
        s.outage = 1;
        if (rule.trust) s.worker[0].trusted = s.worker[1].trusted = 0; });
    fault(may.produced_twice, "PRODUCED TWICE", 0, [&](State& s) {
      s.ready[rule.leftovers && has_plain_named() ? PLAIN_NAMED : PLAIN]++; });
    fault(may.cancel && !s0.cancel && !terminal(s0.status) && s0.status != NO_ROW, "CANCEL", 0, [&](State& s) {
      if (s.status == RUNNING) s.cancel = 1;
      else end(s, CANCELLED); });
    fault(may.cancel && s0.status == NO_ROW, "CANCEL, UNSEEN", 0, [](State& s) { s.status = CANCELLED, s.unseen = 1; });
    fault(may.retried && may_run_again(s0), "RETRIED BY HAND", 0, [](State& s) {
      waits_again(s);
      s.handed_off = s.run = 1;
      s.retries = s.crashes = s.cancel = s.interruptions = s.starts = s.ahead = s.unstarted = s.owed = 0;
      if (!rule.attempt_grows) s.attempt = 0;
      if (rule.leftovers) all_become_leftovers(s);
      s.ready[LEFTOVER]++; });
  }
  // Insert, publish, note: each of them may be the last.
  void submits() {
    const auto then = [&](const char* name, i8 next, auto change) {
      step(name, 0, [&](State& s) { s.producer = next, change(s); });
    };
    const i8 first = rule.publish_then_note ? PUBLISHES : NOTES, last = rule.publish_then_note ? NOTES : DONE;
    if (s0.producer == WRITES && !s0.outage) then("a producer writes the row", first, [](State& s) {
        s.its = PLAIN;  // as one that knows of no rows, where there is one
        if (s.status != NO_ROW) return;
        s.status = PENDING, s.due = !size.deferred, s.handed_off = rule.unconfirmed_is_handed_off;
        s.its = NAMED, s.fresh = 1; });
    if (s0.producer == PUBLISHES) {
      then("publishes", last, [&](State& s) { s.ready[s.its]++; });
      if (!s0.outage) fault(may.publish_refused, "REFUSED", 0, [](State& s) { withdrawn(s); });
    }
    if (s0.producer == NOTES) then("notes that it is confirmed", rule.publish_then_note ? DONE : PUBLISHES, [](State& s) {
        if (!s.outage && (rule.fenced_note ? s.fresh : waits_for_due(s))) confirmed(s); });
    fault(may.submitter_dies && (s0.producer == PUBLISHES || s0.producer == NOTES), "A PRODUCER DIES", 0,
          [](State& s) { s.producer = DONE; });
  }
  static void confirmed(State& s) {
    s.handed_off = 0;
    if (!size.deferred && rule.confirmed_is_unlooked) s.unlooked = 1, s.overdue = 0;
  }
  static void withdrawn(State& s) {
    s.producer = DONE;  // a worker looks after it already
    if (!(rule.fenced_withdrawal ? s.fresh : s.status == PENDING)) return;
    s.producer = WITHDRAWN, s.status = NO_ROW, s.attempt = s.handed_off = s.due = s.overdue = s.parked = 0;
  }
  void overdue() {
    const bool orphan = rule.wake_orphans && s0.status == RUNNING && (expired(s0, 0) || expired(s0, 1));
    if (s0.overdue || s0.parked || s0.unlooked || !((waits_for_due(s0) && s0.due) || orphan)) return;
    const bool early = s0.messages() > 0;
    if (!early || s0.early_left) step("it is overdue", 0, [&](State& s) { s.overdue = 1, s.early_left -= early; });
  }
  // A copy without an id is the row's own message while the row's has none either.
  bool has_plain_named() const {
    if (s0.ready[PLAIN_NAMED] || s0.delayed[PLAIN_NAMED]) return true;
    for (const Worker& w : s0.worker) {
      if (w.job && w.delivery == PLAIN_NAMED) return true;
      for (const Attempt& a : w.held)
        if (a.phase && a.delivery == PLAIN_NAMED) return true;
    }
    return false;
  }
};
