// What becomes of an attempt in memory: start, end, hand-off, giving back.
#pragma once
#include "deliveries.h"

class Attempts : public Deliveries {
 protected:
  void attempt(int i, int j, bool store) {
    const Attempt& a = s0.worker[i].held[j];
    const auto settled = [&](const char* name, auto change) {
      step(name, i, [&](State& s) { change(s), s.worker[i].held[j].phase = EMPTY; });
    };
    if (a.phase == HELD && store) writes(i, j);
    if (going(a)) starts(i, j, store);
    if (a.phase == HELD && !store && s0.worker[i].mode == LEAVING && !written_back(a))
      step("is interrupted", i, [&](State& s) { s.worker[i].held[j].phase = NACKING; });
    if (a.phase == MARKED) hands_off(i, j, store);
    if (a.phase == UNSURE && store) step("reads the row again", i, [&](State& s) {
        Attempt& b = s.worker[i].held[j];
        b.phase = rule.reread && s.names(b) ? b.after : static_cast<i8>(ACKING), b.after = 0; });
    if (a.phase == DELAYING && s0.worker[i].broker) sends_delayed(i, j, store);
    if (a.phase == ACKING) settled("acks", [](State&) {});
    if (a.phase == NACKING) settled("nacks", [&](State& s) { if (a.delivery >= 0) s.ready[a.delivery]++; });
    if (a.phase == WAKING && s0.worker[i].broker) settled("wakes", [](State& s) { s.ready[LEFTOVER]++; });
  }
  static bool written_back(const Attempt& a) { return a.waits ? rule.unclaim_is_written : rule.interrupted_is_written; }

  // What an attempt with a store in reach can write.
  void writes(int i, int j) {
    const Attempt& a = s0.worker[i].held[j];
    const bool mine = s0.status == RUNNING && s0.owner == i && s0.attempt == a.attempt;
    const auto to = [&](State& s, Phase phase) { s.worker[i].held[j].phase = phase; };
    if (mine && a.run != s0.run) broken = "a stale write is accepted";
    if (!a.waits && !size.poison && mine) ends(i, j);
    if (!a.waits && mine) ends_with_its_process(i, j);
    if (!a.waits && size.poison != 1 && !mine) step("ends, and is not the row's", i, [&](State& s) { to(s, ACKING); });
    if (mine && s0.cancel) step("ends cancelled", i, [&](State& s) { end(s, CANCELLED), to(s, ACKING); });
    if (mine && a.delivery >= 0 && !s0.handed_off && size.hand_off) step("hand-off, first half", i, [&](State& s) {
        rule.mark_then_ack ? s.handed_off = 1 : s.worker[i].held[j].delivery = -1;
        to(s, MARKED); });
    if (s0.worker[i].mode == LEAVING || (a.waits && may.unclaim && s0.faults_left)) leaves(i, j, mine);
  }
  // Others have the same process, unless this task is a suspect; alone, it has failed.
  void ends_with_its_process(int i, int j) {
    const bool shares = !s0.crashes || !rule.suspect_alone;
    if (size.poison == 2 && !shares) ends(i, j, false);
    if (!shares || !(size.poison == 2 || (may.neighbour && s0.faults_left))) return;
    State s = s0;
    s.crashes++;
    if (s.cancel && rule.cancel_wins) end(s, CANCELLED), s.worker[i].held[j].phase = ACKING;
    else back(s, s.worker[i].held[j]);
    s.faults_left -= size.poison != 2;
    reach(s, "ITS PROCESS ENDS UNDER IT AND OTHERS", i, size.poison != 2);
  }
  void ends(int i, int j, bool well = true) {
    const auto to = [&](State& s, Phase phase) { s.worker[i].held[j].phase = phase; };
    const auto written = [&](const State& s, const char* name) {
      reach(s, name, i, false);
      if (may.write_lost && s0.faults_left) reply_lost(s, i, j);
    };
    State s = s0;
    end(s, SUCCESS), to(s, ACKING);
    if (well) written(s, "succeeds");
    s = s0;
    const bool left = rule.budget_of_failures ? s.retries < size.max_retries : s.attempt <= size.max_retries;
    if (s.cancel && rule.cancel_wins) {
      end(s, CANCELLED), to(s, ACKING);
    } else if (left) {
      s.status = RETRYING, s.due = s.overdue = 0, s.retries++;
      if (!rule.retry_keeps_handed_off) s.handed_off = 0;
      s.worker[i].held[j].later = current(), to(s, DELAYING);
    } else {
      if (s.retries < size.max_retries) broken = "fails with retries left";
      end(s, FAILED), to(s, ACKING);
    }
    written(s, "fails");
  }
  // Its worker leaves, or (waiting) it is given back for another reason.
  void leaves(int i, int j, bool mine) {
    State s = s0;
    Attempt& a = s.worker[i].held[j];
    const bool leaving = s.worker[i].mode == LEAVING, written = written_back(a) && mine;
    if (!written_back(a)) a.phase = NACKING;
    else if (!mine) a.phase = ACKING;
    else given_back(s, a);
    if (leaving) reach(s, a.waits ? "unclaims" : "is interrupted", i, false);
    if (leaving && written && may.write_lost && s.faults_left) reply_lost(s, i, j);
    s.faults_left--;
    if (!leaving) reach(s, "UNCLAIMS", i, true);
  }
  void given_back(State& s, Attempt& a) {
    const bool counts = size.patience && !(a.waits && rule.unclaim_is_free);
    if (s.cancel && rule.cancel_wins) {
      end(s, CANCELLED), a.phase = ACKING;
      return;
    }
    if (counts && a.waits) broken = "a claim that never started spends an interruption";
    if (counts && s.interruptions >= size.patience && s.crashes + 1 > size.max_crashes) {
      end(s, FAILED), a.phase = ACKING;
      return;
    }
    if (counts) s.interruptions >= size.patience ? s.crashes++ : s.interruptions++;
    back(s, a);
  }
  void back(State& s, Attempt& a) {
    waits_again(s);
    a.phase = a.delivery >= 0 ? NACKING : s.handed_off && rule.wake_interrupted ? WAKING : ACKING;
    if (!rule.wake_interrupted) s.handed_off = 0;
  }
  void starts(int i, int j, bool store) {
    const Worker& w = s0.worker[i];
    const Attempt& a = w.held[j];
    const bool the_row_s = is_row(s0, i, a);
    if (a.waits && w.mode == UP && running(w) < size.slots && (!rule.start_under_lease || (w.lease && !a.lapse)))
      step("starts what it claimed ahead", i, [&](State& s) {
        s.worker[i].held[j].waits = 0;
        if (the_row_s) s.unstarted = 0;
        begins(s); });
    if (a.waits && a.lapse && the_row_s && store && w.lease)
      step("compares a waiting claim", i, [&](State& s) { s.worker[i].held[j].lapse = 0; });
    if (rule.mark_start && !a.waits && store && s0.ahead && (rule.fenced_mark ? the_row_s : s0.status == RUNNING))
      step("marks its start", i, [](State& s) { s.ahead = 0; });
    if (size.poison == 1 && !a.waits) step("kills its worker", i, [&](State& s) { die(s, i, false); });
  }
  void hands_off(int i, int j, bool store) {
    if (!rule.mark_then_ack && !store) return;
    step("hand-off, second half", i, [&](State& s) {
      Attempt& a = s.worker[i].held[j];
      const bool ours = s.status == RUNNING && s.owner == i && s.attempt == a.attempt;
      if (rule.mark_then_ack) a.delivery = -1;
      else if (ours) s.handed_off = 1;
      a.phase = rule.mark_then_ack || ours ? HELD : ACKING; });
  }
  void sends_delayed(int i, int j, bool store) {
    const auto send = [&](State& s, i8 copies) {
      Attempt& a = s.worker[i].held[j];
      s.delayed[a.later] += copies, a.later = 0, a.phase = ACKING;
    };
    step("sends the delayed message of a retry", i, [&](State& s) { send(s, 1); });
    fault(may.delayed_twice, "DELAYED TWICE", i, [&](State& s) { send(s, 2); });
    fault(may.delayed_refused && store, "DELAYED REFUSED", i, [&](State& s) {
      Attempt& a = s.worker[i].held[j];
      if (rule.refused_delay_hands_off && s.attempt == a.attempt && !terminal(s.status)) s.handed_off = 1;
      a.phase = ACKING, a.later = 0; });
  }
};
