// What a worker does with a delivery.
#pragma once
#include "moves.h"

class Deliveries : public Moves {
 protected:
  enum Claimed { NOT_NOW, SETTLED, WRITTEN };

  static Claimed dropped(Worker& w) {
    w.job = SENT, w.seen = NOTHING_SEEN;
    return SETTLED;
  }
  static Claimed cannot_start(State& s, int i) {
    Worker& w = s.worker[i];
    const bool leftover = rule.leftovers && !known(w.delivery);
    if (leftover || (rule.busy_drops_handed_off && s.status == RUNNING && s.handed_off)) return dropped(w);
    w.job = POSTPONING, w.sends = current(), w.seen = s.attempt;
    return SETTLED;
  }
  Claimed closed(State& s, int i, Status status) {
    end(s, status);
    s.worker[i].job = SENT;
    return WRITTEN;
  }
  Claimed claim(State& s, int i, bool waits) {
    Worker& w = s.worker[i];
    const bool room = place(w, waits) >= 0;
    if (s.status == NO_ROW) {
      if (size.deferred) return deferred(s, i);
      if (room) hold(s, i, w.delivery, true, waits, waits);
      return room ? WRITTEN : NOT_NOW;
    }
    if (s.unseen && rule.unseen_ends) return completed(s, i);
    if (s.unseen && room) {
      hold(s, i, w.delivery, true, waits, waits);
      return WRITTEN;
    }
    if (terminal(s.status)) return dropped(w);
    if (s.status == RUNNING) return s.owner == i ? claim_mine(s, i, waits, room) : claim_running(s, i, waits, room);
    if (s.cancel && rule.cancel_wins) return closed(s, i, CANCELLED);
    if (!s.due) return cannot_start(s, i);
    if (!room || (waits && s.crashes && rule.slot_after_crash)) return NOT_NOW;
    hold(s, i, w.delivery, true, waits, waits);
    return WRITTEN;
  }
  Claimed completed(State& s, int i) {
    if (++s.owed > 1) broken = "a callback is owed twice";
    s.unseen = !rule.completes_once;
    s.worker[i].job = SENT;
    return WRITTEN;
  }
  static Claimed deferred(State& s, int i) {
    Worker& w = s.worker[i];
    s.status = PENDING;
    if (rule.leftovers) w.delivery = name(s, w.delivery), w.sends = CURRENT;
    w.job = POSTPONING, w.seen = 0;
    return WRITTEN;
  }
  Claimed claim_mine(State& s, int i, bool waits, bool room) {
    Worker& w = s.worker[i];
    if (Attempt* a = in_memory(s, i)) {
      if (a->delivery >= 0 && rule.one_copy) return dropped(w);
      const bool leftover = rule.leftovers && !known(w.delivery);
      if (a->delivery < 0 && (leftover || (s.handed_off && rule.busy_drops_handed_off))) return dropped(w);
      if (a->delivery >= 0) w.orphans[a->delivery]++;
      a->delivery = w.delivery, w.job = IDLE;
      return SETTLED;
    }
    if (!rule.resume) {
      w.orphans[w.delivery]++, w.job = IDLE;
      return SETTLED;
    }
    if (!room || (waits && rule.slot_for_rescue && !s.ahead)) return NOT_NOW;
    hold(s, i, w.delivery, false, waits, false);
    return WRITTEN;
  }
  Claimed claim_running(State& s, int i, bool waits, bool room) {
    if (!may_rescue(s, i)) return cannot_start(s, i);
    if (s.cancel && rule.cancel_wins) return closed(s, i, CANCELLED);
    const bool spared = s.ahead && rule.spare_unstarted;
    if (s.unstarted && !spared) broken = "a claim that never started spends a crash";
    if (!spared && s.crashes + 1 > size.max_crashes) {
      if (only_shutdowns()) broken = "clean shutdowns end as WorkerLost";
      return closed(s, i, FAILED);
    }
    if (!room || (waits && rule.slot_for_rescue)) return NOT_NOW;
    s.crashes += !spared;
    hold(s, i, s.worker[i].delivery, true, waits, !rule.rescue_is_not_ahead && (spared || waits));
    return WRITTEN;
  }
  static bool only_shutdowns() {
#define COUNT(field) +may.field
    const int allowed = 0 FAULTS(COUNT);
#undef COUNT
    return may.shutdown && allowed == 1;
  }

  void receives(int i, bool store) {
    const Worker& w = s0.worker[i];
    int unacked = 0;
    for (const Attempt& a : w.held) unacked += a.phase && a.delivery >= 0;
    for (i8 orphan : w.orphans) unacked += orphan;
    if (w.mode == UP && w.broker && !w.job && unacked < size.slots + size.ahead)
      for (i8 l = 0; l < LABELS; l++)
        if (s0.ready[l]) step("delivered", i, [&](State& s) {
            s.ready[l]--, s.worker[i].job = CLAIMING, s.worker[i].delivery = l; });
    if (w.job == CLAIMING) claims(i, store);
    if (w.job == CLAIM_UNSURE) {
      if (w.mode == UP && store) step("claims once more", i, [&](State& s) { s.worker[i].job = CLAIMING; });
      gives_back(i);
    }
    if (w.job == POSTPONING && w.broker) postpones(i, store);
    if (w.job == SENDING_ANEW) sends_anew(i);
    if (w.job == SENT) step("acks", i, [&](State& s) { s.worker[i].job = IDLE; });
  }
  void gives_back(int i) {
    step("nacks", i, [&](State& s) {
      Worker& w = s.worker[i];
      if (w.delivery >= 0) s.ready[w.delivery]++;
      w.job = IDLE; });
  }
  void claims(int i, bool store) {
    const Worker& w = s0.worker[i];
    if (w.mode == UP && store && (w.lease || !rule.own_lease_first))
      for (int waits = 0; waits <= (size.ahead > 0); waits++) claims_so(i, waits);
    if (w.mode == UP && store) parks(i), drops_wake_up(i);
    if (w.mode == UP && store && size.sent_anew) {
      if (could_start(i)) step("waited too long", i, [&](State& s) {
          s.worker[i].job = SENDING_ANEW, s.worker[i].sends = s.status == NO_ROW ? LEFTOVER : CURRENT; });
      if (s0.status == NO_ROW) step("came back unstarted", i, [&](State& s) {
          s.worker[i].job = SENDING_ANEW, s.worker[i].sends = s.worker[i].delivery; });
    }
    if (w.mode == LEAVING) gives_back(i);
  }
  void claims_so(int i, bool waits) {
    State s = s0;
    const Claimed claimed = claim(s, i, waits);
    if (claimed == NOT_NOW || (waits && (s.worker[i].job || claimed != WRITTEN))) return;
    reach(s, waits ? "claims ahead" : "claims", i, false);
    if (claimed != WRITTEN || !may.claim_lost || !s0.faults_left) return;
    Worker& w = s.worker[i];
    i8 label = w.job ? w.delivery : -1;
    if (label < 0)
      for (Attempt& a : w.held)
        if (a.phase == HELD && s.names(a)) label = a.delivery, a.phase = EMPTY, s.starts = s0.starts;
    for (Attempt& a : w.held)
      if (!a.phase) memset(&a, 0, sizeof a);
    w.job = CLAIM_UNSURE, w.delivery = label, w.sends = 0;
    s.faults_left--;
    if (label >= 0) reach(s, waits ? "CLAIM AHEAD'S REPLY LOST" : "CLAIM'S REPLY LOST", i, true);
  }
  // A suspect waits for a process to itself in the worker's hands, unclaimed: that message is `ready`, for all others know.
  void drops_wake_up(int i) {
    bool another = false;
    for (i8 count : s0.ready) another = another || count;
    if (!waits_for_due(s0) || !s0.due || !s0.crashes || s0.worker[i].delivery != LEFTOVER) return;
    if (another || !rule.wake_beside_suspect) step("drops a wake-up", i, [&](State& s) { s.worker[i].job = SENT; });
  }
  // What would start, where its type is paused as far as this worker knows.
  void parks(int i) {
    const bool heard = s0.pause == HOLDS || (!rule.park_under_lock && may.type_paused && !s0.faults_left);
    const bool rescue = s0.status == RUNNING && s0.owner != i && may_rescue(s0, i);
    const bool due = waits_for_due(s0) && s0.due;
    if (!heard || s0.cancel || !(rescue || due || (s0.status == NO_ROW && !size.deferred))) return;
    const bool spared = s0.ahead && rule.spare_unstarted;
    if (rescue && !spared && s0.crashes + 1 > size.max_crashes) return;
    step("parks", i, [&](State& s) {
      Worker& w = s.worker[i];
      s.crashes += rescue && !spared;
      s.status = s.status == RETRYING ? RETRYING : PENDING, s.owner = NOBODY;
      s.due = 1, s.parked = PARKED, s.overdue = s.unlooked = 0, s.handed_off = rule.parked_is_handed_off;
      w.delivery = name(s, w.delivery), w.job = SENT; });
  }
  bool could_start(int i) {
    if (s0.status == NO_ROW || s0.unseen) return true;
    if (waits_for_due(s0)) return s0.due || s0.cancel;
    return s0.status == RUNNING && (s0.owner == i ? !in_memory(s0, i) : may_rescue(s0, i));
  }
  void postpones(int i, bool store) {
    const auto send = [&](State& s, i8 copies) {
      Worker& w = s.worker[i];
      w.job = SENT, s.delayed[w.sends] += copies;
    };
    step("sends a delayed message", i, [&](State& s) { send(s, 1); });
    fault(may.delayed_twice, "DELAYED TWICE", i, [&](State& s) { send(s, 2); });
    fault(may.delayed_refused && store, "DELAYED REFUSED", i, [&](State& s) {
      Worker& w = s.worker[i];
      const bool same = s.attempt == w.seen && !terminal(s.status);
      w.job = same || !rule.refused_delay_hands_off ? SENT : CLAIMING;
      if (same && rule.refused_delay_hands_off) s.handed_off = 1, s.fresh = 0;
    });
  }
  void sends_anew(int i) {
    const bool broker = s0.worker[i].broker;
    if (broker && !rule.send_then_ack && s0.worker[i].delivery >= 0)
      return step("acks", i, [&](State& s) { s.worker[i].delivery = -1; });
    if (broker) step("sends it anew", i, [&](State& s) {
        s.ready[s.worker[i].sends]++, s.worker[i].job = SENT; });
    gives_back(i);
  }
};
