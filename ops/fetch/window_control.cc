#include "ops/fetch/window_control.h"

#include <algorithm>
#include <cmath>

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kMeanWeight = 1.0 / 64;  // Of one row in the mean size: follows a change within some hundred rows.

constexpr double kGain = 1.5;       // Times the BDP: so much the window grows in a round trip while the rate follows.
constexpr double kStartGain = 2;    // The same, at first.
constexpr double kStartRise = 1.25; // A rate that rises by less in kFlatRounds rounds has found its place.
constexpr int kFlatRounds = 3;
constexpr size_t kStartRows = 128;
constexpr double kRequestsAhead = 2;  // For each host: one that it works on, and one that waits there.

constexpr auto kMinRound = milliseconds(10);
constexpr auto kRateLife = seconds(1);  // Or kRateRounds base latencies: a short stall is no lower rate.
constexpr int kRateRounds = 10;

constexpr double kInflated = 1.5;  // Latency over base latency above which something queues.
constexpr double kDrainedBdp = 0.5;
constexpr double kMinDrained = 16;
constexpr double kFoundLess = 0.8;      // The base latency was that much less than thought: look again soon.
constexpr double kSameInflation = 0.8;  // Fewer rows in flight made replies no faster.
constexpr auto kFirstDrain = milliseconds(300);
constexpr auto kMaxDrainPeriod = seconds(4);

constexpr double kMaxBoost = 16;
constexpr double kBoostStep = 1.5;
constexpr double kWorthMore = 1.05;  // A larger window stays for a rate this much higher,
constexpr double kWorthLess = 0.98;  // and a smaller one for a rate no lower than this.
constexpr double kWaits = 0.1;       // Part of the time that the consumer waits, above which more rows may help.
constexpr auto kFirstTrial = seconds(1);
constexpr auto kTrialPeriod = seconds(2);
constexpr auto kMaxTrialPeriod = seconds(60);
constexpr double kMinTrialSeconds = 0.25;
constexpr size_t kMinTrialElements = 8;

constexpr double kMoved = 1.6;          // Windows that differ by more than this are of different times.

constexpr double kMinCut = 1.0 / 64;

double InSeconds(Clock::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

WindowControl::WindowControl(const FetchOptions& options)
    : fixed_rows_(options.max_in_flight),
      max_bytes_(options.MaxBufferedBytes()),
      drain_period_(kFirstDrain),
      trial_period_(kTrialPeriod) {
  Update();
}

void WindowControl::OnSubmitted(size_t rows) {
  if (rows <= element_rows_[0]) return;
  element_rows_[0] = rows;
  Update();
}

void WindowControl::OnReply(size_t rows, size_t found, int64_t bytes, Clock::TimePoint sent, Clock::TimePoint arrived,
                            uint64_t path) {
  const bool first_size = mean_row_bytes_ == 0 && found > 0;
  if (found > 0) {
    const double size = static_cast<double>(std::max<int64_t>(bytes, 1)) / static_cast<double>(found);
    const double weight = first_size ? 1 : 1 - std::pow(1 - kMeanWeight, static_cast<double>(found));
    mean_row_bytes_ += (size - mean_row_bytes_) * weight;
  }
  if (rows == 0) return;
  buffered_rows_ += rows;
  const double took = std::max(InSeconds(arrived - sent), 1e-6);
  const double base = base_.Note(path, rows, took, arrived);
  const auto weight = static_cast<double>(rows);
  if (round_.began == Clock::TimePoint()) round_.began = sent;
  round_.replied += rows;
  round_.ideal += weight * base;
  round_.actual += weight * took;
  request_rows_ += (weight - request_rows_) / 16;
  if (drain_.on && sent >= drain_.began) {
    const double inflation = took / base;
    drain_.least_inflation = drain_.replied == 0 ? inflation : std::min(drain_.least_inflation, inflation);
    drain_.replied += rows;
    drain_.inflation += weight * inflation;
    drain_.base += weight * base;
    if (drain_.replied >= in_flight_rows_) EndDrain(arrived);
  }
  // The bound by bytes must not wait for the end of a round.
  Update();
}

void WindowControl::OnOverloaded(Clock::TimePoint now) {
  // Once for all that was in flight together.
  if (InSeconds(now - overload_at_) < latency_s_) return;
  overload_at_ = now;
  overload_cut_ = std::max(overload_cut_ / 2, kMinCut);
  trial_.on = false;
  Update();
}

void WindowControl::OnTaken(size_t rows, Clock::TimePoint now) {
  if (now - element_life_began_ > BaseLatency::kLife) {
    element_life_began_ = now;
    element_rows_[1] = element_rows_[0];
    element_rows_[0] = rows;
  }
  round_.taken += rows;
  buffered_rows_ -= std::min(buffered_rows_, rows);
  round_.behind += InSeconds(waited_) * static_cast<double>(buffered_rows_);
  round_.waited += waited_;
  waited_ = Clock::Duration::zero();
  if (trial_.on) OnTrialTaken(rows, now);
  // Without replies, as while a slow consumer empties a window that became too large, the base latency stays.
  const double base = round_.replied == 0 ? base_s_ : round_.ideal / static_cast<double>(round_.replied);
  if (base == 0) return;
  if (now - round_.began >= kMinRound && InSeconds(now - round_.began) >= base) OnRound(now);
}

void WindowControl::OnWaited(Clock::Duration waited) { waited_ += waited; }

void WindowControl::OnRound(Clock::TimePoint now) {
  const Round round = round_;
  round_ = {};
  round_.began = now;
  const double took = InSeconds(now - round.began);
  if (round.replied > 0) {
    base_s_ = round.ideal / static_cast<double>(round.replied);
    latency_s_ = round.actual / static_cast<double>(round.replied);
  }
  wait_share_ += (std::min(InSeconds(round.waited) / took, 1.0) - wait_share_) / 4;
  overload_cut_ = std::min(1.0, overload_cut_ * std::exp(took));
  NoteRate(static_cast<double>(round.taken) / took, now);
  NoteBehind(round, took);
  if (starting_ && rate_ >= kStartRise * start_rate_) {
    start_rate_ = rate_;
    flat_rounds_ = 0;
  } else if (starting_ && ++flat_rounds_ >= kFlatRounds) {
    starting_ = false;
    next_drain_ = now + drain_period_;
    next_trial_ = now + kFirstTrial;
  }
  // The ground moved under a trial: it says nothing, and must not keep the window where it was.
  inflation_ += (latency_s_ / base_s_ - inflation_) * (1 - std::exp(-took / std::max(2 * base_s_, 0.1)));
  const double moved = PlainRows(kGain) / std::max(trial_.plain_rows, 1.0);
  if (trial_.on && (moved > kMoved || moved < 1 / kMoved || inflation_ > kMoved * trial_.inflation)) {
    trial_.on = false;
    next_trial_ = now + kFirstTrial;
  }
  if (!starting_ && !(trial_.on && trial_.settled)) MaybeDrain(now);
  if (!starting_ && !drain_.on) MaybeTry(now);
  Update();
}

void WindowControl::NoteRate(double rate, Clock::TimePoint now) {
  rates_.emplace_back(now, rate);
  const Clock::Duration life = std::max<Clock::Duration>(kRateLife, Clock::Seconds(kRateRounds * base_s_));
  while (rates_.size() > 1 && rates_.front().first < now - life) rates_.pop_front();
  rate_ = 0;
  for (const auto& [when, seen] : rates_) rate_ = std::max(rate_, seen);
}

// Rows that arrived before those that the consumer waits for take room, and are no work for the server.
void WindowControl::NoteBehind(const Round& round, double took) {
  const double waited = InSeconds(round.waited);
  const double seen = waited > kWaits * took ? round.behind / waited : 0;
  const double follow = seen > behind_rows_ ? 2 : 8;  // Latencies, to follow what is seen: quickly up, slowly down.
  behind_rows_ += (seen - behind_rows_) * (1 - std::exp(-took / (follow * latency_s_)));
}

void WindowControl::MaybeDrain(Clock::TimePoint now) {
  if (drain_.on) {
    // Nobody answered what was sent since: no finding.
    if (InSeconds(now - drain_.began) > 4 * latency_s_ + 0.1) EndDrain(now);
    return;
  }
  const double inflation = latency_s_ / base_s_;
  if (inflation < kInflated) return;
  const bool jumped = inflation > 2 * drain_.inflation_before;
  if (now < next_drain_ && !(jumped && now > next_drain_ - drain_period_ + kFirstDrain)) return;
  if (jumped) drain_period_ = kFirstDrain;
  drain_ = {};
  drain_.on = true;
  drain_.began = now;
  drain_.inflation_before = inflation;
  drain_.base_before = base_s_;
}

void WindowControl::EndDrain(Clock::TimePoint now) {
  drain_.on = false;
  const Clock::Duration least_period = std::max<Clock::Duration>(kFirstDrain, Clock::Seconds(10 * latency_s_));
  drain_period_ = std::min<Clock::Duration>(std::max(2 * drain_period_, least_period), kMaxDrainPeriod);
  next_drain_ = now + drain_period_;
  trial_.began = now;  // If there is one: it settles again.
  if (drain_.replied == 0) return;
  if (drain_.base / static_cast<double>(drain_.replied) < kFoundLess * drain_.base_before) {
    drain_period_ = kFirstDrain;
    next_drain_ = now + drain_period_;
    trial_.on = false;
    return;
  }
  const double inflation = drain_.inflation / static_cast<double>(drain_.replied);
  if (inflation < kSameInflation * drain_.inflation_before) return;
  // The link became longer: what we had in flight was not the reason.
  base_.Scale(std::max(drain_.least_inflation, 1.0));
  base_s_ *= std::max(drain_.least_inflation, 1.0);
  drain_.inflation_before = 1;
  drain_period_ = kFirstDrain;
  trial_.on = false;
  StartUp();
}

void WindowControl::StartUp() {
  starting_ = true;
  start_rate_ = 0;
  flat_rounds_ = 0;
}

void WindowControl::MaybeTry(Clock::TimePoint now) {
  if (trial_.on || now < next_trial_) return;
  if (inflation_ > kInflated && drain_period_ < kMaxDrainPeriod) return;  // The base latency first.
  const bool down = boost_ > 1 && (!last_trial_down_ || wait_share_ < kWaits || boost_ * kBoostStep > kMaxBoost);
  if (!down && (wait_share_ < kWaits || boost_ * kBoostStep > kMaxBoost)) return;
  trial_ = {};
  trial_.on = true;
  trial_.factor = down ? 1 / kBoostStep : kBoostStep;
  trial_.plain_rows = PlainRows(kGain);
  trial_.inflation = inflation_;
  trial_.began = now;
}

// Without what is added to it, boost, and bounds.
double WindowControl::PlainRows(double gain) const { return gain * rate_ * base_s_ + behind_rows_; }

double WindowControl::LargestElement() const {
  return static_cast<double>(std::max(element_rows_[0], element_rows_[1]));
}

double WindowControl::Turnover() const {
  return latency_s_ + static_cast<double>(rows_) / std::max(rate_, 1.0);
}

void WindowControl::OnTrialTaken(size_t rows, Clock::TimePoint now) {
  const double took = InSeconds(now - trial_.began);
  if (!trial_.settled) {
    if (drain_.on || took < 2 * Turnover()) return;
    trial_.settled = true;
    trial_.began = now;
    return;
  }
  trial_.taken += rows;
  ++trial_.elements;
  const bool enough = took >= kMinTrialSeconds && took >= 3 * Turnover() && trial_.elements >= kMinTrialElements;
  if (!enough) return;
  trial_.rate[trial_.leg] = static_cast<double>(trial_.taken) / took;
  trial_.taken = trial_.elements = 0;
  trial_.settled = false;
  trial_.began = now;
  if (++trial_.leg == Trial::kLegs) EndTrial(now);
  Update();
}

void WindowControl::EndTrial(Clock::TimePoint now) {
  trial_.on = false;
  const double worth = trial_.factor > 1 ? kWorthMore : kWorthLess;
  const bool better = trial_.rate[1] > worth * trial_.rate[0] && trial_.rate[3] > worth * trial_.rate[2];
  if (better) {
    boost_ = std::max(1.0, boost_ * trial_.factor);
    trial_period_ = kTrialPeriod;
    next_trial_ = now;
    return;
  }
  last_trial_down_ = trial_.factor < 1;
  next_trial_ = now + trial_period_;
  trial_period_ = std::min<Clock::Duration>(2 * trial_period_, kMaxTrialPeriod);
}

void WindowControl::Update() {
  const double allowance = std::max<double>(
      kMinRows, kRequestsAhead * request_rows_ * static_cast<double>(std::max<size_t>(base_.paths(), 1)));
  double rows = kProbeRows;
  double held = 0;  // Of them, to be returned together rather than to keep the servers busy.
  if (fixed_rows_ != kAutotune) {
    rows = static_cast<double>(fixed_rows_);
    if (mean_row_bytes_ == 0) rows = std::min<double>(rows, kProbeRows);
  } else if (mean_row_bytes_ > 0) {
    double plain = trial_.on ? trial_.plain_rows : PlainRows(starting_ ? kStartGain : kGain);
    if (starting_) plain = std::max(plain, static_cast<double>(kStartRows));
    const double boost = boost_ * (trial_.on && trial_.leg % 2 == 1 ? trial_.factor : 1);
    held = std::max(LargestElement() - boost * (plain + allowance), 0.0);
    rows = boost * (plain + allowance) + LargestElement();
    rows = std::min(rows, std::max<double>(kMaxRows, LargestElement() + 1));
  }
  if (mean_row_bytes_ > 0) rows = std::min(rows, static_cast<double>(max_bytes_) / mean_row_bytes_);
  rows_ = static_cast<size_t>(std::max(rows, 1.0));

  // An element is not asked for at once because it is returned at once: that would only queue at the server.
  const double flying = std::max(static_cast<double>(rows_) - held, std::min<double>(rows_, allowance));
  double in_flight = flying * (fixed_rows_ == kAutotune ? overload_cut_ : 1);
  if (drain_.on) {
    const double in_flight_before = rate_ * latency_s_;
    const double drained = std::max({kDrainedBdp * rate_ * base_s_, kMinDrained, allowance});
    in_flight = std::min({in_flight, drained, std::max(in_flight_before / 2, 1.0)});
  }
  in_flight_rows_ = static_cast<size_t>(std::max(in_flight, 1.0));
}

}  // namespace tfcass
