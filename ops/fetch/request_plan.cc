#include "ops/fetch/request_plan.h"

#include <utility>

#include "ops/fetch/ring/murmur3.h"

namespace tfcass {
namespace {

// Rows of a group while the size of rows is not known.
constexpr size_t kFirstGroup = 4;
// Requests that the window should have room for, at least, and for each owner: while one is answered, the next one is
// on its way.
constexpr size_t kRequestsInWindow = 8;
constexpr size_t kRequestsByOwner = 2;

}  // namespace

RequestPlanner::RequestPlanner(std::shared_ptr<const ReadStatements> statements, LatestRing ring, KeyTable* keys,
                               size_t group, bool pin, uint64_t seed)
    : statements_(std::move(statements)),
      latest_ring_(std::move(ring)),
      keys_(keys),
      group_(group),
      pin_(pin),
      random_(seed) {}

RequestPlanner::~RequestPlanner() {
  for (const auto& [host, lane] : lanes_) lane.host->RemoveOutstanding(static_cast<int64_t>(lane.group.keys.size()));
  for (const PlannedRequest& request : ready_) {
    if (request.host != nullptr) request.host->RemoveOutstanding(static_cast<int64_t>(request.keys.size()));
  }
}

void RequestPlanner::Update(double mean_row_bytes, size_t in_flight_rows) {
  if (group_ > 1 || pin_) ring_ = latest_ring_();
  mean_row_bytes_ = mean_row_bytes;
  in_flight_rows_ = in_flight_rows;
}

size_t RequestPlanner::GroupRows() const {
  size_t rows = mean_row_bytes_ == 0 ? kFirstGroup : static_cast<size_t>(kReplyBytes / std::max(mean_row_bytes_, 1.0));
  const size_t owners = ring_ == nullptr ? 1 : ring_->hosts().size();
  rows = std::min(rows, in_flight_rows_ / std::max(kRequestsInWindow, kRequestsByOwner * owners));
  return std::clamp<size_t>(rows, 1, GroupLimit());
}

Owners RequestPlanner::OwnersOf(const PendingKey& key) const {
  return ring_ == nullptr ? Owners() : ring_->OwnersOf(TokenOf(key.key));
}

void RequestPlanner::PlanNext(Clock::TimePoint now) {
  PendingKey* key = waiting_.front();
  waiting_.pop_front();
  Plan(key, nullptr, now);
}

void RequestPlanner::PlanAgain(PendingKey* key, const Host* failed, Clock::TimePoint now) { Plan(key, failed, now); }

// An owner that may be asked, not `besides` if there is another one. Where that is a suspect one whose turn it is to be
// probed, it is asked for this key at once, and so is another one: the probe holds nobody up.
std::shared_ptr<Host> RequestPlanner::ChooseOwner(PendingKey* key, const Host* besides, Clock::TimePoint now) {
  const Owners owners = OwnersOf(*key);
  for (size_t i = 0; i < owners.size(); ++i) {
    std::shared_ptr<Host> host = Choose(owners, &random_, now, besides);
    if (host == nullptr && besides != nullptr) host = Choose(owners, &random_, now);
    if (host == nullptr || !host->Shunned(now)) return host;
    PlannedRequest probe = Pinned(std::move(host), key);
    probe.probe = true;
    ready_.push_back(std::move(probe));
  }
  return nullptr;
}

void RequestPlanner::Plan(PendingKey* key, const Host* besides, Clock::TimePoint now) {
  if (key->alone || (GroupLimit() == 1 && !pin_)) return Alone(key);
  const size_t ready = ready_.size();
  std::shared_ptr<Host> host = ChooseOwner(key, besides, now);
  if (host == nullptr) {
    if (ready_.size() == ready) Alone(key);  // Else the probe asks for it.
    return;
  }
  Lane& lane = lanes_[host.get()];
  if (lane.group.keys.empty() || key->first.element < lane.first_element) lane.first_element = key->first.element;
  lane.host = std::move(host);
  lane.group.host = lane.host;
  Join(&lane.group, key);
  if (lane.group.keys.size() >= GroupRows()) ready_.push_back(TakeGroup(&lane));
}

void RequestPlanner::Alone(PendingKey* key) {
  keys_->Asked(key);
  ready_.push_back({group_ == 1 ? RequestKind::kSingle : RequestKind::kFallback, nullptr, {key}});
}

PlannedRequest RequestPlanner::Pinned(std::shared_ptr<Host> host, PendingKey* key) {
  PlannedRequest request;
  request.host = std::move(host);
  Join(&request, key);
  return request;
}

void RequestPlanner::Join(PlannedRequest* request, PendingKey* key) {
  keys_->Asked(key);
  request->host->AddOutstanding(1);
  request->keys.push_back(key);
  if (request->keys.size() > 1) request->kind = RequestKind::kGrouped;
}

PlannedRequest RequestPlanner::TakeGroup(Lane* lane) {
  PlannedRequest request = std::exchange(lane->group, {});
  lane->group.keys.reserve(request.keys.size());
  return request;
}

// A probe may have brought the row of a key whose group was still filling.
void RequestPlanner::DropSettled(PlannedRequest* request) {
  const auto settled = std::stable_partition(request->keys.begin(), request->keys.end(),
                                             [](const PendingKey* key) { return !key->settled(); });
  for (auto key = settled; key != request->keys.end(); ++key) {
    if (request->host != nullptr) request->host->RemoveOutstanding(1);
    keys_->Answered(*key);
  }
  request->keys.erase(settled, request->keys.end());
  if (request->keys.size() == 1 && request->kind == RequestKind::kGrouped) request->kind = RequestKind::kSingle;
}

// Whether what was true when it was planned still is: its host is there, and nobody learnt that groups must be smaller.
bool RequestPlanner::MayLeave(const PlannedRequest& request, Clock::TimePoint now) const {
  if (request.host == nullptr) return true;
  if (request.keys.size() > GroupLimit()) return false;
  return request.probe ? request.host->up() : !request.host->Shunned(now);
}

void RequestPlanner::Dissolve(const PlannedRequest& request, Clock::TimePoint now) {
  request.host->RemoveOutstanding(static_cast<int64_t>(request.keys.size()));
  for (PendingKey* key : request.keys) {
    if (key->requests() == 1) Plan(key, request.host.get(), now);  // Else it is asked for elsewhere too.
    keys_->Answered(key);
  }
}

bool RequestPlanner::TakeReady(Clock::TimePoint now, PlannedRequest* request) {
  while (!ready_.empty()) {
    *request = std::move(ready_.front());
    ready_.pop_front();
    DropSettled(request);
    if (request->keys.empty()) continue;
    if (MayLeave(*request, now)) return true;
    Dissolve(*request, now);
  }
  return false;
}

bool RequestPlanner::TakeDue(Clock::TimePoint now, int64_t awaited, PlannedRequest* request) {
  while (true) {
    for (auto& [host, lane] : lanes_) {
      const bool due = lane.requests <= 1 || lane.first_element <= awaited;
      if (due && !lane.group.keys.empty()) ready_.push_back(TakeGroup(&lane));
    }
    if (ready_.empty()) return false;
    if (TakeReady(now, request)) return true;  // Else they were dissolved, into lanes that may be due now.
  }
}

bool RequestPlanner::HasOther(const PendingKey& key, const Host& host, Clock::TimePoint now) const {
  for (const std::shared_ptr<Host>& owner : OwnersOf(key)) {
    if (owner.get() != &host && !owner->Shunned(now)) return true;
  }
  return false;
}

std::vector<PlannedRequest> RequestPlanner::Elsewhere(const std::vector<PendingKey*>& keys, const Host& host,
                                                      Clock::TimePoint now) {
  std::vector<PlannedRequest> requests;
  for (PendingKey* key : keys) {
    if (!HasOther(*key, host, now)) continue;
    std::shared_ptr<Host> owner = ChooseOwner(key, &host, now);
    if (owner == nullptr || owner.get() == &host) continue;
    const auto same = std::find_if(requests.begin(), requests.end(), [&](const PlannedRequest& request) {
      return request.host == owner && request.keys.size() < GroupLimit();
    });
    if (same == requests.end()) {
      requests.push_back(Pinned(std::move(owner), key));
    } else {
      Join(&*same, key);
    }
  }
  return requests;
}

void RequestPlanner::Sent(const PlannedRequest& request) {
  if (request.host == nullptr) return;
  Lane& lane = lanes_[request.host.get()];
  lane.host = request.host;
  ++lane.requests;
}

void RequestPlanner::Done(const PlannedRequest& request) {
  if (request.host == nullptr) return;
  request.host->RemoveOutstanding(static_cast<int64_t>(request.keys.size()));
  --lanes_.at(request.host.get()).requests;
}

}  // namespace tfcass
