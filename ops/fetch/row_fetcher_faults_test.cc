// What happens to a group's keys when something fails: nodes that are gone, hang, refuse or are busy.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "ops/testing/fetcher_fixture.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kGuardrail[] =
    "Guardrail partition_keys_in_select violated: Aborting query with partition keys in IN clause on table data_64, "
    "number of partition keys 4 exceeds fail threshold of 2.";

FakeAnswer NoHosts() { return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "All connections are busy"); }
FakeAnswer Overloaded() { return FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy"); }

class FaultsTest : public GroupedFixture {
 protected:
  void StartWarm(size_t nodes, size_t rf, const FetchOptions& options) {
    StartCluster(nodes, rf, options);
    Warm();
  }
  void Warm() {
    fetcher_->Submit(KeysOf({1'000'000}));
    AnswerWhenWaiting();
    EXPECT_EQ(NextLabels(), (Labels{1'000'000}));
    clock_.OnWait(nullptr);
    log_.clear();
    fallbacks_ = Metrics::Global().fallbacks;
  }

  // Answers the oldest read, whenever the consumer waits, as this says; nothing: it stays open. Keeps a log.
  void OnRead(std::function<std::optional<FakeAnswer>(const FakeRead&)> answer) {
    driver_.answer_at_once = [this, answer = std::move(answer)](const FakeRead& read) {
      log_.push_back(Describe(read));
      return answer(read);
    };
  }
  // Nodes that fail every read in this way; the others, and unpinned reads, give rows.
  void OnHost(const std::string& address, FakeAnswer failure) {
    OnRead([address, failure = std::move(failure)](const FakeRead& read) {
      return read.host == address ? failure : RowsOf(read);
    });
  }

  int64_t Fallbacks() const { return Metrics::Global().fallbacks - fallbacks_; }

  // Reads answered in this time, so that the host's percentiles are known.
  void Practise(const std::string& address, milliseconds latency, int replies = 200) {
    for (int i = 0; i < replies; ++i) HostOf(address)->latency().Record(latency, clock_.Now());
  }

  Reads log_;

 private:
  int64_t fallbacks_ = 0;
};

// --- a table that was changed

TEST_F(FaultsTest, AStatementThatServersRefuseToPrepareAnewIsToldInTheirWords) {
  StartWarm(2, 1, GroupsOf(3));
  OnRead([](const FakeRead&) { return NoHosts(); });
  driver_.prepare_answer = FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "Undefined column name data");
  fetcher_->Submit(KeysOf({1}));
  Element element;
  const Status status = fetcher_->Next(&element);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("Undefined column name data"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(ToUuidText(KeysOf({1})[0])), std::string::npos) << status.message();
}

TEST_F(FaultsTest, AnOutageInWhichStatementsCannotBePreparedEitherIsOutlived) {
  StartWarm(2, 1, GroupsOf(3));
  int failures = 6;
  driver_.prepare_answer = NoHosts();
  OnRead([&](const FakeRead& read) { return failures-- > 0 ? NoHosts() : RowsOf(read); });
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
}

// --- a node that is gone

TEST_F(FaultsTest, KeysOfADeadOwnerWithoutReplicaAreAskedForAlone) {
  StartWarm(2, 1, GroupsOf(3));
  const Ids ids = IdsOf(kFirst, 3);
  OnHost(kFirst, NoHosts());
  fetcher_->Submit(KeysOf(ids));
  const auto start = clock_.Now();
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
  EXPECT_EQ(log_, (Reads{Asks(kFirst, ids), Asks("any", {ids[0]}), Asks("any", {ids[1]}), Asks("any", {ids[2]})}));
  EXPECT_EQ(clock_.Now(), start);  // At once.
  EXPECT_EQ(Fallbacks(), 3);
  EXPECT_TRUE(HostOf(kFirst)->Shunned(clock_.Now()));
}

TEST_F(FaultsTest, KeysOfADeadOwnerWithAReplicaGoThereTogether) {
  StartWarm(2, 2, GroupsOf(3));
  HostOf(kSecond)->AddOutstanding(100);
  OnHost(kFirst, NoHosts());
  fetcher_->Submit(KeysOf({1, 2, 3}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2 3", "10.0.0.2: 1 2 3"}));
  EXPECT_EQ(Fallbacks(), 0);
}

TEST_F(FaultsTest, AGroupWhoseOwnerDiesBetweenPlanAndSendIsPlannedAgain) {
  for (const size_t rf : {size_t{1}, size_t{2}}) {
    StartWarm(2, rf, GroupsOf(4));
    HostOf(kSecond)->AddOutstanding(100);
    const Ids ids = IdsOf(kFirst, 3);
    fetcher_->Submit(KeysOf(ids));  // Planned, and not sent.
    EXPECT_TRUE(Open().empty());
    EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 3);
    HostOf(kFirst)->SetUp(false);
    OnHost(kFirst, NoHosts());
    EXPECT_EQ(NextLabels(), LabelsOf(ids));
    if (rf == 2) {
      EXPECT_EQ(log_, Reads{Asks(kSecond, ids)});
    } else {
      EXPECT_EQ(log_, (Reads{Asks("any", {ids[0]}), Asks("any", {ids[1]}), Asks("any", {ids[2]})}));
    }
    EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
    driver_.answer_at_once = nullptr;
    fetcher_.reset();
    session_.reset();
  }
}

TEST_F(FaultsTest, ASuspectOwnerIsProbedWithOneKeyThatOthersAreAskedForToo) {
  StartWarm(2, 2, GroupsOf(2));
  HostOf(kFirst)->MarkFailed(clock_.Now());
  OnRead([](const FakeRead&) { return std::nullopt; });
  fetcher_->Submit(KeysOf({1, 2, 3, 4}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.2: 1 2", "10.0.0.2: 3 4"}));
  AnswerOpen();
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3, 4}));

  clock_.Advance(Host::kFirstQuiet);
  fetcher_->Submit(KeysOf({5, 6, 7, 8, 9, 10}));
  std::map<std::string, size_t> keys;
  for (const FakeRead& read : driver_.OpenReads()) keys[read.host] += read.keys.size();
  EXPECT_EQ(keys[kFirst], 1u);
  EXPECT_EQ(keys[kSecond], 6u);
  for (const uint32_t id : {6u, 8u, 10u}) {
    ASSERT_TRUE(driver_.Answer(KeyOf(id), FakeAnswer::Rows({RowOf(KeyOf(id)), RowOf(KeyOf(id - 1))})));
  }
  EXPECT_EQ(NextLabels(), (Labels{5, 6, 7, 8, 9, 10}));  // Nobody waited for the probe.
  EXPECT_TRUE(HostOf(kFirst)->Shunned(clock_.Now()));
  EXPECT_EQ(AnswerOpen(), 1);
  fetcher_->Submit(KeysOf({11, 12}));
  AnswerWhenWaiting();
  EXPECT_EQ(NextLabels(), (Labels{11, 12}));
  EXPECT_FALSE(HostOf(kFirst)->Shunned(clock_.Now()));  // It answered: asked again like the other one.
  EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
  EXPECT_EQ(HostOf(kSecond)->outstanding_rows(), 0);
}

TEST_F(FaultsTest, AProbeThatAnswersFirstSparesTheOtherRequest) {
  StartWarm(2, 2, GroupsOf(4));
  HostOf(kFirst)->MarkFailed(clock_.Now());
  clock_.Advance(Host::kFirstQuiet);
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::optional(RowsOf(read)) : std::nullopt; });
  fetcher_->Submit(KeysOf({1}));
  while (log_.empty()) {  // Until the draw falls on the suspect one.
    fetcher_->Submit(KeysOf({static_cast<uint32_t>(fetcher_->Pending() + 1)}));
  }
  OnRead(RowsOf);
  const size_t pending = fetcher_->Pending();
  for (size_t i = 0; i < pending; ++i) EXPECT_EQ(NextLabels(), (Labels{static_cast<int>(i + 1)}));
  EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
  EXPECT_EQ(HostOf(kSecond)->outstanding_rows(), 0);
}

TEST_F(FaultsTest, AllNodesGoneAndBackWithinTheDeadline) {
  StartWarm(3, 3, GroupsOf(4));
  const auto start = clock_.Now();
  OnRead([&](const FakeRead& read) { return clock_.Now() - start < seconds(7) ? NoHosts() : RowsOf(read); });
  Ids ids(40);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
  EXPECT_LT(clock_.Now() - start, seconds(10));
}

TEST_F(FaultsTest, AllNodesGoneForGoodIsOneErrorThatSaysSo) {
  StartWarm(1, 1, GroupsOf(2));
  OnRead([](const FakeRead&) { return NoHosts(); });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(status.message(), "cannot read row 00000000-0000-0000-0000-000000000001 of ks.data: All "
                                         "connections are busy"))
      << status.message();
  EXPECT_LE(clock_.Now() - start, seconds(10));
  EXPECT_GE(clock_.Now() - start, seconds(7));
  EXPECT_EQ(fetcher_->Pending(), 0u);
}

// --- groups that are refused

TEST_F(FaultsTest, AGuardrailThatTellsItsLimitShrinksTheGroups) {
  StartWarm(1, 1, GroupsOf(4));
  OnRead([](const FakeRead& read) {
    return read.keys.size() > 2 ? FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, kGuardrail) : RowsOf(read);
  });
  testing::internal::CaptureStderr();
  fetcher_->Submit(KeysOf({1, 2, 3, 4, 5, 6, 7, 8}));  // Two groups are on the way by then.
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2 3 4", "10.0.0.1: 5 6 7 8", "10.0.0.1: 1 2", "10.0.0.1: 3 4", "10.0.0.1: 5 6",
                         "10.0.0.1: 7 8"}));
  EXPECT_EQ(Fallbacks(), 0);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(Contains(said, "Cassandra refuses to read 4 rows of ks.data in one request")) << said;
  EXPECT_TRUE(Contains(said, "reading up to 2")) << said;
  EXPECT_EQ(said.find("tfcass: warning"), said.rfind("tfcass: warning")) << said;  // Once.
}

TEST_F(FaultsTest, AGuardrailThatTellsNoLimitEndsGroupsForTheSession) {
  StartWarm(1, 1, GroupsOf(2));
  OnRead([](const FakeRead& read) {
    return read.keys.size() > 1 ? FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "no IN here") : RowsOf(read);
  });
  testing::internal::CaptureStderr();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  fetcher_->Submit(KeysOf({3, 4}));
  EXPECT_EQ(NextLabels(), (Labels{3, 4}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2", "any: 1", "any: 2", "any: 3", "any: 4"}));
  EXPECT_EQ(Fallbacks(), 4);

  log_.clear();
  ASSERT_TRUE(RowFetcher::Create(session_, query_, GroupsOf(2), &fetcher_, &clock_).ok());  // The next epoch.
  fetcher_->Submit(KeysOf({5, 6}));
  EXPECT_EQ(NextLabels(), (Labels{5, 6}));
  EXPECT_EQ(log_, (Reads{"any: 5", "any: 6"}));
  testing::internal::GetCapturedStderr();
}

TEST_F(FaultsTest, NoRetriesStillMeansThatGroupingLosesNothing) {
  for (const FakeAnswer& failure : {FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "no IN here"), NoHosts(),
                                    FakeAnswer::Error(CASS_ERROR_SERVER_READ_FAILURE, "tombstones"), Overloaded()}) {
    FetchOptions options = GroupsOf(2);
    options.max_retries = 0;
    StartWarm(1, 1, options);
    OnRead([&](const FakeRead& read) { return read.host.empty() ? RowsOf(read) : failure; });
    testing::internal::CaptureStderr();
    fetcher_->Submit(KeysOf({1, 2}));
    EXPECT_EQ(NextLabels(), (Labels{1, 2})) << failure.message;
    testing::internal::GetCapturedStderr();
    driver_.answer_at_once = nullptr;
    fetcher_.reset();
    session_.reset();
  }
}

TEST_F(FaultsTest, OneBadRowOfAGroupDoesNotFailTheOthers) {
  FetchOptions options = GroupsOf(3);
  options.max_retries = 1;
  StartWarm(1, 1, options);
  OnRead([](const FakeRead& read) {
    const bool bad = std::find(read.keys.begin(), read.keys.end(), KeyOf(2)) != read.keys.end();
    return bad ? FakeAnswer::Error(CASS_ERROR_SERVER_READ_FAILURE, "cannot read that sstable") : RowsOf(read);
  });
  for (const uint32_t id : {1, 2, 3}) fetcher_->Submit(KeysOf({id}));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  const Status status = NextStatus();
  EXPECT_TRUE(Contains(status.message(), "row 00000000-0000-0000-0000-000000000002 of ks.data: cannot read that"))
      << status.message();
  EXPECT_EQ(NextLabels(), (Labels{3}));
}

TEST_F(FaultsTest, AListThatCannotBeBoundIsReadOneByOne) {
  StartWarm(1, 1, GroupsOf(2));
  driver_.refuse_collections = true;
  OnRead(RowsOf);
  testing::internal::CaptureStderr();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(log_, (Reads{"any: 1", "any: 2"}));
  testing::internal::GetCapturedStderr();
}

TEST_F(FaultsTest, ADriverThatCannotPinReadsOneByOne) {
  cluster_.nodes = {{kFirst, "dc1", "r1", {0}}};
  cluster_.keyspaces["ks"] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
  driver_.answer_query = [this](const FakeQuery& query) { return cluster_.Answer(query); };
  ASSERT_TRUE(Session::Connect(driver_.OldApi(/*pinning=*/false), Config(), 1, &session_).ok());
  ASSERT_TRUE(RowFetcher::Create(session_, query_, GroupsOf(2), &fetcher_, &clock_).ok());
  OnRead(RowsOf);
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(log_, (Reads{"any: 1", "any: 2"}));
}

TEST_F(FaultsTest, WithoutARingKeysAreReadOneByOneAndCounted) {
  cluster_.partitioner = "org.apache.cassandra.dht.ByteOrderedPartitioner";
  StartWarm(2, 1, GroupsOf(2));
  OnRead(RowsOf);
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(log_, (Reads{"any: 1", "any: 2"}));
  EXPECT_EQ(Fallbacks(), 2);
}

// --- nodes that are busy or slow

TEST_F(FaultsTest, AnOverloadedStormBacksOffAndNarrowsTheWindow) {
  FetchOptions options = GroupsOf(4);
  options.max_in_flight = kAutotune;
  StartWarm(1, 1, options);
  const auto start = clock_.Now();
  int refused = 0;
  OnRead([&](const FakeRead& read) {
    if (clock_.Now() - start > milliseconds(300)) return RowsOf(read);
    ++refused;
    return Overloaded();
  });
  Ids ids(16);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
  EXPECT_LE(refused, 5 * 4);  // After 50, 100, 200 ms: groups stay together.
  EXPECT_EQ(Fallbacks(), 0);
  EXPECT_FALSE(HostOf(kFirst)->Shunned(clock_.Now()));  // It is there, and busy.
}

TEST_F(FaultsTest, ReadTimeoutsOfOneHostMoveItsKeysAtOnce) {
  StartWarm(2, 2, GroupsOf(3));
  HostOf(kSecond)->AddOutstanding(100);
  OnHost(kFirst, FakeAnswer::Error(CASS_ERROR_SERVER_READ_TIMEOUT, "replica did not respond"));
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2, 3}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2 3", "10.0.0.2: 1 2 3"}));
  EXPECT_EQ(clock_.Now(), start);
}

TEST_F(FaultsTest, AHostThatHangsIsLeftForItsReplicaLongBeforeTheDeadline) {
  StartWarm(2, 2, GroupsOf(3));
  Practise(kFirst, milliseconds(10));
  HostOf(kSecond)->AddOutstanding(100);
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2, 3}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_EQ(clock_.Now() - start, SlowPolicy::kLeastHang);
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2 3", "10.0.0.2: 1 2 3"}));
  EXPECT_TRUE(HostOf(kFirst)->Shunned(clock_.Now()));

  AnswerOpen();  // The hanging one comes back, too late: dropped, and no proof of health.
  fetcher_->Submit(KeysOf({4, 5, 6}));
  EXPECT_EQ(NextLabels(), (Labels{4, 5, 6}));
  EXPECT_TRUE(HostOf(kFirst)->Shunned(clock_.Now()));
  EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
}

TEST_F(FaultsTest, AHostThatIsSlowByHabitIsGivenTenTimesAsLong) {
  StartWarm(2, 2, GroupsOf(3));
  Practise(kFirst, milliseconds(100));
  HostOf(kSecond)->AddOutstanding(100);
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2, 3}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_GE(clock_.Now() - start, seconds(1));
  EXPECT_LE(clock_.Now() - start, milliseconds(1200));
}

TEST_F(FaultsTest, TheLateReplyOfAHostThatHungCountsIfItIsFirst) {
  StartWarm(2, 2, GroupsOf(3));
  Practise(kFirst, milliseconds(10));
  HostOf(kSecond)->AddOutstanding(100);
  OnRead([](const FakeRead&) { return std::nullopt; });
  fetcher_->Submit(KeysOf({1, 2, 3}));
  clock_.OnWait([&] {
    if (driver_.OpenReads().size() < 2) return false;
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_EQ(Open(), Reads{"10.0.0.2: 1 2 3"});
  AnswerOpen();
  fetcher_->Submit(KeysOf({4}));
  clock_.OnWait([&] { return driver_.AnswerOldest(RowsOf); });
  EXPECT_EQ(NextLabels(), (Labels{4}));  // The later answer was dropped.
}

TEST_F(FaultsTest, AnOwnerThatHangsAndHasNoReplicaIsWaitedForUntilTheAttemptEnds) {
  StartWarm(1, 1, GroupsOf(2));
  Practise(kFirst, milliseconds(1));
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(clock_.Now() - start, seconds(5) + milliseconds(500));
}

TEST_F(FaultsTest, AHangingReplicaCostsLittleOverAnEpoch) {
  StartWarm(3, 3, GroupsOf(8));
  for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) Practise(address, milliseconds(2));
  // Each of the healthy nodes answers one read a millisecond, one after the other; the third one never does.
  std::map<std::string, Clock::TimePoint> busy_until;
  std::list<std::pair<Clock::TimePoint, Key>> coming;
  OnRead([&](const FakeRead& read) -> std::optional<FakeAnswer> {
    if (read.host != "10.0.0.3") {
      Clock::TimePoint& until = busy_until[read.host];
      until = std::max(until, clock_.Now()) + milliseconds(1);
      coming.emplace_back(until, read.key);
    }
    return std::nullopt;
  });
  const auto answer_next = [&] {
    if (coming.empty()) return false;
    const auto next = std::min_element(coming.begin(), coming.end());
    const Key key = next->second;
    if (next->first > clock_.Now()) clock_.Advance(next->first - clock_.Now());
    coming.erase(next);
    const auto healthy = [&](const FakeRead& read) { return read.key == key && read.host != "10.0.0.3"; };
    return driver_.AnswerWhere(healthy, RowsOf);
  };
  clock_.OnWait(answer_next);
  const auto start = clock_.Now();
  uint32_t next = 0, taken = 0;
  while (taken < 40'000 && !HasFailure()) {
    while (next < 40'000 && fetcher_->HasRoom()) {
      Ids ids(100);
      std::iota(ids.begin(), ids.end(), next);
      fetcher_->Submit(KeysOf(ids));
      next += 100;
    }
    taken += static_cast<uint32_t>(NextLabels().size());
  }
  const double took = std::chrono::duration<double>(clock_.Now() - start).count();
  EXPECT_GT(40'000 / took, 0.5 * 3 * 8 * 1000) << took;  // Half of what three healthy nodes give.
}

// --- hedging

class HedgingTest : public FaultsTest {
 protected:
  void StartHedging(HedgeAfter after = HedgeAfter::kP99) {
    FetchOptions options = GroupsOf(2);
    options.hedge_after = after;
    StartWarm(2, 2, options);
    Practise(kFirst, milliseconds(20), 1000);
    HostOf(kSecond)->AddOutstanding(100);
    OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  }
};

TEST_F(HedgingTest, TheSecondReplicaAnswersFirst) {
  StartHedging();
  const int64_t won = Metrics::Global().hedges_won;
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1 2", "10.0.0.2: 1 2"}));
  EXPECT_GE(clock_.Now() - start, milliseconds(20));
  EXPECT_LE(clock_.Now() - start, milliseconds(23));
  EXPECT_EQ(Metrics::Global().hedges_won - won, 1);
  EXPECT_FALSE(HostOf(kFirst)->Shunned(clock_.Now()));  // Slow is not dead.
  AnswerOpen();
  OnRead(RowsOf);
  fetcher_->Submit(KeysOf({3, 4}));
  EXPECT_EQ(NextLabels(), (Labels{3, 4}));
  EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
}

TEST_F(HedgingTest, TheFirstReplicaAnswersFirstAfterAll) {
  StartHedging();
  const int64_t won = Metrics::Global().hedges_won;
  OnRead([](const FakeRead&) { return std::nullopt; });
  fetcher_->Submit(KeysOf({1, 2}));
  clock_.OnWait([&] { return driver_.OpenReads().size() == 2 && driver_.AnswerOldest(RowsOf); });
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(Open(), Reads{"10.0.0.2: 1 2"});
  EXPECT_EQ(Metrics::Global().hedges_won, won);
}

TEST_F(HedgingTest, OneOfTwoFailingRequestsIsNoFailure) {
  StartHedging();
  fetcher_->Submit(KeysOf({1, 2}));
  OnRead([](const FakeRead&) { return std::nullopt; });
  bool failed = false;
  clock_.OnWait([&] {
    if (driver_.OpenReads().size() < 2 && !failed) return false;
    if (failed) return driver_.AnswerOldest(RowsOf);
    failed = true;
    return driver_.AnswerOldest([](const FakeRead&) { return Overloaded(); });
  });
  const int calls = driver_.execute_calls;
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(driver_.execute_calls - calls, 1);  // The hedge, and no retry.
}

TEST_F(HedgingTest, HedgesAreFew) {
  StartHedging();
  OnRead([](const FakeRead&) { return std::nullopt; });
  Ids ids(200);
  std::iota(ids.begin(), ids.end(), 1);
  const int64_t hedged = Metrics::Global().requests_by_kind[static_cast<int>(RequestKind::kHedged)];
  HostOf(kSecond)->AddOutstanding(10'000);
  fetcher_->Submit(KeysOf(ids));
  ASSERT_EQ(Open().size(), 100u);
  int waits = 0;
  clock_.OnWait([&] {
    if (++waits < 150) return false;  // All become slow.
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
  const int64_t hedges = Metrics::Global().requests_by_kind[static_cast<int>(RequestKind::kHedged)] - hedged;
  EXPECT_GE(hedges, 1);
  EXPECT_LE(hedges, 6);  // A twentieth, and the one to begin with.
}

TEST_F(HedgingTest, NobodyIsHedgedWhoseLatencyIsNotKnown) {
  FetchOptions options = GroupsOf(2);
  options.hedge_after = HedgeAfter::kP95;
  StartWarm(2, 2, options);
  HostOf(kSecond)->AddOutstanding(100);
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(clock_.Now() - start, SlowPolicy::kUnknownHang);
}

TEST_F(HedgingTest, ARareHedgeNeedsMoreReplies) {
  StartHedging(HedgeAfter::kP999);
  EXPECT_TRUE(SlowPolicy(HedgeAfter::kP999).HedgeAfterOf(*HostOf(kFirst)).has_value());
  EXPECT_FALSE(SlowPolicy(HedgeAfter::kNever).HedgeAfterOf(*HostOf(kFirst)).has_value());
  Practise(kSecond, milliseconds(20), 500);
  EXPECT_FALSE(SlowPolicy(HedgeAfter::kP999).HedgeAfterOf(*HostOf(kSecond)).has_value());
  EXPECT_TRUE(SlowPolicy(HedgeAfter::kP95).HedgeAfterOf(*HostOf(kSecond)).has_value());
}

TEST_F(HedgingTest, WhenAllAreSlowNobodyIsHedged) {
  StartHedging();
  Practise(kSecond, milliseconds(20), 1000);
  OnRead([](const FakeRead&) { return std::nullopt; });
  fetcher_->Submit(KeysOf({1, 2}));
  HostOf(kSecond)->RemoveOutstanding(100);
  HostOf(kFirst)->AddOutstanding(100);
  fetcher_->Submit(KeysOf({3, 4}));
  ASSERT_EQ(Open(), (Reads{"10.0.0.1: 1 2", "10.0.0.2: 3 4"}));
  // Both pass their percentile before the consumer looks again.
  clock_.Advance(milliseconds(50));
  size_t open = 0;
  clock_.OnWait([&] {
    open = std::max(open, driver_.OpenReads().size());
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_LE(open, 3u);  // The first to be found slow could not know; the other one could.
}

TEST_F(HedgingTest, ThePlainEngineHedgesToo) {
  FetchOptions options = GroupsOf(1);
  options.hedge_after = HedgeAfter::kP99;
  StartWarm(2, 2, options);
  Practise(kFirst, milliseconds(20));
  HostOf(kSecond)->AddOutstanding(100);
  OnRead([](const FakeRead& read) { return read.host == kFirst ? std::nullopt : std::optional(RowsOf(read)); });
  fetcher_->Submit(KeysOf({1}));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_EQ(log_, (Reads{"10.0.0.1: 1", "10.0.0.2: 1"}));
}

// --- what a refusal allows

TEST(AllowedByRefusalTest, IsTheLastNumberThatIsSmaller) {
  EXPECT_EQ(AllowedByRefusal(kGuardrail, 4), 2u);
  EXPECT_EQ(AllowedByRefusal("number of partition keys 64 exceeds fail threshold of 20.", 64), 20u);
  EXPECT_EQ(AllowedByRefusal("partition key cartesian product size 64 is greater than maximum 10", 64), 10u);
  EXPECT_EQ(AllowedByRefusal("no IN in table data_20", 64), 1u);
  EXPECT_EQ(AllowedByRefusal("at most 100 keys", 64), 1u);
  EXPECT_EQ(AllowedByRefusal("at most 99999999999999999999999 keys", 64), 1u);
  EXPECT_EQ(AllowedByRefusal("", 64), 1u);
}

}  // namespace
}  // namespace tfcass
