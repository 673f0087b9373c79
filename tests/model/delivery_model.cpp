// The delivery rules, checked over every interleaving: one task, two workers, a bounded number of faults. README.md
// beside this file has the rules, and how to read what this prints.
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "search.h"
#include "workers.h"

static std::string words(const State& s) {
  static const char* phases[] = {"-", "runs", "marked", "unsure", "delay", "ack", "nack", "wake-up"};
  static const char* jobs[] = {"-", "claim", "unsure", "delay", "anew", "ack"};
  static const char* modes[] = {"dead", "up", "paused", "leaving"};
  char text[200];
  snprintf(text, sizeof text,
           "row[%c owner%d handed_off%d due%d overdue%d crashes%d retries%d cancel%d ahead%d unstarted%d starts%d]",
           s.status, s.owner, s.handed_off, s.due, s.overdue, s.crashes, s.retries, s.cancel, s.ahead, s.unstarted,
           s.starts);
  std::string all = text;
  const auto labels = [&](const char* name, const i8* counts) {
    all += name;
    for (int l = 0; l < LABELS; l++)
      for (int n = 0; n < counts[l]; n++) all += " " + std::to_string(l);
  };
  labels(" ready", s.ready), labels(" | delayed", s.delayed);
  for (const Worker& w : s.worker) {
    all += std::string(" | ") + modes[w.mode] + (w.lease ? "" : " lapsed") + (w.broker ? "" : " no broker");
    all += w.store ? "" : " no store";
    for (const Attempt& a : w.held)
      if (a.phase)
        all += std::string(" {") + (a.waits ? "waits, " : "") + phases[a.phase] + (s.names(a) ? "" : ", old") + ", " +
               std::to_string(a.delivery) + "}";
    if (w.job) all += std::string(" <") + jobs[w.job] + " " + std::to_string(w.delivery) + ">";
    labels("", w.orphans);
  }
  static const char* producers[] = {"", " | writes", " | publishes", " | notes", " | withdrawn"};
  return all + producers[s.producer] + (s.fresh ? " fresh" : "") + (s.unlooked ? " unlooked" : "") + (s.outage ? " | OUTAGE" : "");
}

static void print_path(const States& states, uint32_t id) {
  std::vector<uint32_t> path;
  for (; id != States::NONE; id = states.before[id]) path.push_back(id);
  for (auto at = path.rbegin(); at != path.rend(); ++at)
    printf("    %-38s %d  %s\n", states.how[*at], states.who[*at], words(states.all[*at]).c_str());
}

// Two handlers of the task at once, and one of them is neither the row's nor excused: its worker was not cut off.
static bool overlaps(const State& s) {
  int count = 0, wrong = 0;
  for (int i = 0; i < 2; i++)
    for (const Attempt& a : s.worker[i].held) {
      if (s.worker[i].mode == DEAD || !runs(a)) continue;
      count++;
      wrong += !is_row(s, i, a) && !(a.lapse & CUT_OFF);
    }
  return count >= 2 && wrong;
}

// Nobody wakes a worker for a task that waits for a message which does not exist.
static bool forgotten(const State& s) {
  return s.status != NO_ROW && !terminal(s.status) && !s.handed_off && !s.dropped && !s.messages();
}

// It has ended, or never was: whoever submitted it has heard that it was refused.
static bool over(const State& s) {
  return terminal(s.status) || (s.producer == WITHDRAWN && s.status == NO_ROW && !s.messages());
}

static bool drained(const State& s) {
  bool held = false;
  for (const Worker& w : s.worker) held |= w.held[0].phase || w.held[1].phase;
  return over(s) && !held && !s.messages();
}

int main(int count, char** words) {
  read_settings(count, words);
  const auto began = std::chrono::steady_clock::now();
  States states;
  Workers moves;
  std::vector<Edge> without_faults;
  std::map<std::string, uint32_t> violations;
  uint64_t edges = 0;
  int most = 0;
  bool whole = true;
  states.add(first_state(), States::NONE, "begins", 0);
  for (uint32_t id = 0; id < states.all.size(); id++) {
    whole = states.all.size() <= static_cast<size_t>(size.states) && !(size.first && !violations.empty());
    if (!whole) break;
    const State s = states.all[id];
    most = std::max(most, s.messages());
    if (forgotten(s)) violations.emplace("a task waits without a message and is not handed off", id);
    if (overlaps(s)) violations.emplace("two runs overlap", id);
    moves.of(s);
    if (!moves.broken.empty()) violations.emplace(moves.broken, id);
    for (const Move& m : moves.all) {
      const uint32_t to = states.add(m.to, id, m.name, m.worker);
      edges++;
      if (!m.fault) without_faults.push_back({id, to});
    }
  }
  uint64_t stuck = 0, undrained = 0;
  if (whole) {
    const auto ends = leads_to(states.all, without_faults, over);
    const auto drains = leads_to(states.all, without_faults, drained);
    for (uint32_t id = 0; id < states.all.size(); id++) {
      if (!ends[id] && !stuck++) violations.emplace("stuck: no end can be reached", id);
      if (ends[id] && !drains[id] && !undrained++) violations.emplace("messages are left for ever", id);
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  printf("states=%zu edges=%lu whole=%d messages=%d cut=%ld stuck=%lu undrained=%lu seconds=%.1f\n", states.all.size(),
         static_cast<unsigned long>(edges), whole, most, moves.cut, static_cast<unsigned long>(stuck),
         static_cast<unsigned long>(undrained), seconds);
  for (const auto& [what, id] : violations) {
    printf("  VIOLATION %s (faults used: %d)\n", what.c_str(), size.faults - states.all[id].faults_left);
    if (size.trace) print_path(states, id);
  }
  if (violations.empty()) puts(whole ? "  all hold" : "  not all states were seen");
  return violations.empty() ? (whole ? 0 : 3) : 1;
}
