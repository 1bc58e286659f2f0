// Which keys travel together, to whom and when, on a cluster of several nodes.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "ops/testing/fetcher_fixture.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class GroupedTest : public GroupedFixture {
 protected:
  // Lets the fetcher learn how large rows are, so that groups have their full size.
  void Warm() {
    const uint32_t id = 1'000'000;
    fetcher_->Submit(KeysOf({id}));
    AnswerWhenWaiting();
    EXPECT_EQ(NextLabels(), (Labels{static_cast<int>(id)}));
    clock_.OnWait(nullptr);
  }
};

TEST_F(GroupedTest, KeysOfAnOwnerTravelTogetherAndPinnedToIt) {
  StartCluster(2, 1, GroupsOf(3));
  Warm();
  const Ids a = IdsOf(kFirst, 3), b = IdsOf(kSecond, 3);
  const Ids mixed = {a[0], b[0], a[1], b[1], b[2], a[2]};
  fetcher_->Submit(KeysOf(mixed));
  EXPECT_EQ(Open(), (Reads{Asks(kSecond, b), Asks(kFirst, a)}));  // As soon as they are full.
  const FakeRead read = driver_.OpenReads()[0];
  EXPECT_TRUE(read.idempotent);
  EXPECT_EQ(read.consistency, CASS_CONSISTENCY_LOCAL_ONE);
  EXPECT_EQ(read.timeout_ms, 5000u);
  AnswerOpen();  // Rows come in another order than they were asked for.
  EXPECT_EQ(NextLabels(), LabelsOf(mixed));
  EXPECT_EQ(driver_.execute_calls, 3);
}

TEST_F(GroupedTest, AGroupThatIsNotFullWaitsForCompanyAndLeavesBeforeTheConsumerWaits) {
  StartCluster(1, 1, GroupsOf(4));
  Warm();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_TRUE(Open().empty());
  fetcher_->Submit(KeysOf({3}));
  EXPECT_TRUE(Open().empty());
  AnswerWhenWaiting();
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(driver_.execute_calls, 2);  // All three at once.
  EXPECT_EQ(NextLabels(), (Labels{3}));
}

TEST_F(GroupedTest, BesidesFullRequestsOnlyWhatTheConsumerWaitsForLeavesEarly) {
  StartCluster(1, 1, GroupsOf(4));
  Warm();
  fetcher_->Submit(KeysOf({1, 2, 3, 4, 5, 6, 7, 8, 9}));
  fetcher_->Submit(KeysOf({10}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 1 2 3 4", "10.0.0.1: 5 6 7 8"}));
  std::vector<Reads> seen;
  clock_.OnWait([&] {
    seen.push_back(Open());
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels().size(), 9u);
  EXPECT_EQ(seen[0].back(), "10.0.0.1: 9 10");  // 9 is awaited, and 10 goes with it.

  clock_.OnWait(nullptr);
  fetcher_->Submit(KeysOf({11, 12, 13, 14, 15, 16, 17, 18}));
  fetcher_->Submit(KeysOf({19}));
  EXPECT_EQ(NextLabels(), (Labels{10}));
  seen.clear();
  clock_.OnWait([&] {
    seen.push_back(Open());
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels().size(), 8u);
  EXPECT_EQ(seen[0], (Reads{"10.0.0.1: 11 12 13 14", "10.0.0.1: 15 16 17 18"}));  // 19 is not awaited yet,
  EXPECT_EQ(seen[1], (Reads{"10.0.0.1: 15 16 17 18", "10.0.0.1: 19"}));          // and goes when there is little to do.
  EXPECT_EQ(NextLabels(), (Labels{19}));
}

TEST_F(GroupedTest, AnIdleOwnerIsAskedAtOnceWhateverOthersDo) {
  StartCluster(2, 1, GroupsOf(4));
  Warm();
  const Ids a = IdsOf(kFirst, 8), b = IdsOf(kSecond, 1);
  fetcher_->Submit(KeysOf(a));
  fetcher_->Submit(KeysOf(b));
  Reads open;
  clock_.OnWait([&] {
    if (open.empty()) open = Open();
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels(), LabelsOf(a));
  EXPECT_EQ(open.back(), Asks(kSecond, b));
  EXPECT_EQ(NextLabels(), LabelsOf(b));
}

TEST_F(GroupedTest, ScalarElementsFillGroupsAcrossElements) {
  StartCluster(1, 1, GroupsOf(4));
  Warm();
  for (uint32_t id = 1; id <= 8; ++id) fetcher_->Submit(KeysOf({id}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 1 2 3 4", "10.0.0.1: 5 6 7 8"}));
  AnswerOpen();
  for (int id = 1; id <= 8; ++id) EXPECT_EQ(NextLabels(), (Labels{id}));
}

TEST_F(GroupedTest, GroupsLeaveRoomForSeveralRequestsInTheWindow) {
  StartCluster(1, 1, GroupsOf(64, /*window=*/32));
  Warm();
  Ids ids(32);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_EQ(Open().size(), 8u);
  EXPECT_EQ(Open()[0], "10.0.0.1: 1 2 3 4");
  AnswerOpen();
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
}

TEST_F(GroupedTest, AWindowOfFewRowsAsksForEachAlone) {
  StartCluster(1, 1, GroupsOf(64, /*window=*/4));
  Warm();
  fetcher_->Submit(KeysOf({1, 2, 3, 4, 5}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 1", "10.0.0.1: 2", "10.0.0.1: 3", "10.0.0.1: 4"}));
  AnswerWhenWaiting();
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3, 4, 5}));
}

TEST_F(GroupedTest, AHundredOwnersAreAskedForFewRowsEach) {
  StartCluster(100, 1, GroupsOf(64, /*window=*/512));
  Warm();
  Ids ids(512);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  std::set<std::string> hosts;
  for (const FakeRead& read : driver_.OpenReads()) {
    hosts.insert(read.host);
    EXPECT_LE(read.keys.size(), 2u);
  }
  EXPECT_GT(hosts.size(), 80u);
  AnswerWhenWaiting();
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
}

TEST_F(GroupedTest, FirstGroupsAreSmallAndThenFollowTheSizeOfRows) {
  StartCluster(1, 1, GroupsOf(64));
  Ids ids(200);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_EQ(Open().size(), 8u);  // 32 rows probe how large rows are,
  for (const FakeRead& read : driver_.OpenReads()) EXPECT_EQ(read.keys.size(), 4u);
  std::vector<size_t> sizes;
  clock_.OnWait([&] {
    return driver_.AnswerOldest([&](const FakeRead& read) {
      sizes.push_back(read.keys.size());
      std::vector<FakeAnswer> rows;
      for (const Key& key : read.keys) rows.push_back(FakeAnswer::Row(key, 0, std::string(50'000, 'x')));
      return FakeAnswer::Rows(rows);
    });
  });
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  EXPECT_EQ(*std::max_element(sizes.begin(), sizes.end()), 10u);  // and 10 of these make 512 kB.
}

TEST_F(GroupedTest, AGroupThatNothingMayJoinLeavesWhenNothingIsOnTheWay) {
  const auto kilobytes = [](const FakeRead& read) {
    std::vector<FakeAnswer> rows;
    for (const Key& key : read.keys) rows.push_back(FakeAnswer::Row(key, 0, std::string(1'000, 'x')));
    return FakeAnswer::Rows(rows);
  };
  FetchOptions options = GroupsOf(2);
  options.max_buffered_bytes = 17 * 1'004;  // Of 17 rows, their labels included.
  StartCluster(1, 1, options);
  Element element;
  fetcher_->Submit(KeysOf({100}));
  clock_.OnWait([&] { return driver_.AnswerOldest(kilobytes); });
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  element = {};
  clock_.OnWait(nullptr);

  Ids ids(16);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  fetcher_->Submit(KeysOf({17}));
  fetcher_->Submit(KeysOf({18}));
  EXPECT_EQ(Open().size(), 8u);
  while (driver_.AnswerOldest(kilobytes)) {
  }
  ASSERT_TRUE(fetcher_->Next(&element).ok());  // Has its rows: does not wait.
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 17"}));
}

TEST_F(GroupedTest, LargeRowsAreAskedForOneByOne) {
  StartCluster(1, 1, GroupsOf(64));
  fetcher_->Submit(KeysOf({1}));
  clock_.OnWait([&] {
    return driver_.AnswerOldest(
        [](const FakeRead& read) { return FakeAnswer::Row(read.key, 0, std::string(600'000, 'x')); });
  });
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  fetcher_->Submit(KeysOf({2, 3}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 2", "10.0.0.1: 3"}));
}

TEST_F(GroupedTest, RowsPerRequestCapsTheGroup) {
  StartCluster(1, 1, GroupsOf(2));
  Warm();
  fetcher_->Submit(KeysOf({1, 2, 3, 4}));
  EXPECT_EQ(Open(), (Reads{"10.0.0.1: 1 2", "10.0.0.1: 3 4"}));
}

TEST_F(GroupedTest, OneRowPerRequestIsThePlainEngine) {
  StartCluster(2, 1, GroupsOf(1));
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(Open(), (Reads{"any: 1", "any: 2"}));
  EXPECT_EQ(driver_.query_calls, 0);  // Nor does it want to know the ring.
  const int64_t fallbacks = Metrics::Global().fallbacks;
  AnswerOpen();
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(Metrics::Global().fallbacks, fallbacks);
}

TEST_F(GroupedTest, OfTwoReplicasTheOneWithLessToDoIsAsked) {
  StartCluster(2, 2, GroupsOf(8));
  Warm();
  HostOf(kFirst)->AddOutstanding(1000);
  fetcher_->Submit(KeysOf({1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(Open(), Reads{"10.0.0.2: 1 2 3 4 5 6 7 8"});
  EXPECT_EQ(HostOf(kSecond)->outstanding_rows(), 8);
  AnswerOpen();
  EXPECT_EQ(NextLabels().size(), 8u);
  EXPECT_EQ(HostOf(kSecond)->outstanding_rows(), 0);
}

TEST_F(GroupedTest, ReplicasShareTheWork) {
  StartCluster(3, 3, GroupsOf(10));
  Warm();
  Ids ids(300);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
    EXPECT_NEAR(static_cast<double>(HostOf(address)->outstanding_rows()), 100, 5) << address;
  }
  AnswerWhenWaiting();
  EXPECT_EQ(NextLabels(), LabelsOf(ids));
}

TEST_F(GroupedTest, OtherConsistenciesAreCoordinatedByTheOwner) {
  FetchOptions options = GroupsOf(2);
  options.consistency = "QUORUM";
  StartCluster(2, 2, options);
  Warm();
  fetcher_->Submit(KeysOf({1, 2, 3, 4}));
  for (const FakeRead& read : driver_.OpenReads()) {
    EXPECT_EQ(read.consistency, CASS_CONSISTENCY_QUORUM);
    EXPECT_FALSE(read.host.empty());
  }
}

// --- what comes back

TEST_F(GroupedTest, AMissingRowInTheMiddleOfAGroupIsNamed) {
  StartCluster(1, 1, GroupsOf(3));
  Warm();
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  fetcher_->Submit(KeysOf({3}));
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Rows({RowOf(KeyOf(3)), RowOf(KeyOf(1))})));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "no row 00000000-0000-0000-0000-000000000002 in ks.data (asked 10.0.0.1:9042 of 10.0.0.1 port 9042, 1 "
            "attempt in 0 s, consistency LOCAL_ONE); ingest it again, or pass FetchOptions(missing=\"skip\")");
  EXPECT_EQ(NextLabels(), (Labels{3}));
}

TEST_F(GroupedTest, MissingRowsAreSkippedInAnyOrder) {
  for (const bool deterministic : {true, false}) {
    FetchOptions options = GroupsOf(4);
    options.deterministic = deterministic;
    options.missing = Missing::kSkip;
    StartCluster(1, 1, options);
    Warm();
    fetcher_->Submit(KeysOf({1, 2, 3, 4}));
    ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Rows({RowOf(KeyOf(4)), RowOf(KeyOf(1))})));
    Element element;
    ASSERT_TRUE(fetcher_->Next(&element).ok());
    EXPECT_EQ(element.rows.size(), 2u);
    EXPECT_EQ(element.taken.size(), deterministic ? 0u : 4u);
    fetcher_.reset();
    session_.reset();
  }
}

TEST_F(GroupedTest, NullsInAGroupStayWithTheirRow) {
  StartCluster(1, 1, GroupsOf(2));
  Warm();
  fetcher_->Submit(KeysOf({1, 2}));
  FakeAnswer null = RowOf(KeyOf(1));
  null.rows[0][2] = std::nullopt;
  ASSERT_TRUE(driver_.Answer(KeyOf(1), FakeAnswer::Rows({RowOf(KeyOf(2)), null})));
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  EXPECT_TRUE(element.rows[0].cells[1].is_null);
  EXPECT_EQ(element.rows[1].cells[1].bytes, "data 2");
}

TEST_F(GroupedTest, ARepeatedRowConcernsItsKeyOnly) {
  StartCluster(1, 1, GroupsOf(2));
  Warm();
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  ASSERT_TRUE(driver_.Answer(KeyOf(1), FakeAnswer::Rows({RowOf(KeyOf(1)), RowOf(KeyOf(2)), RowOf(KeyOf(1))})));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "row 00000000-0000-0000-0000-000000000001 of ks.data: the table has several "
                                         "rows of this key: its primary key has more columns than patch_id"))
      << status.message();
  EXPECT_EQ(NextLabels(), (Labels{2}));
}

TEST_F(GroupedTest, AStrangersRowMakesNobodyMissing) {
  StartCluster(1, 1, GroupsOf(2));
  Warm();
  fetcher_->Submit(KeysOf({1, 2}));
  ASSERT_TRUE(driver_.Answer(KeyOf(1), FakeAnswer::Rows({RowOf(KeyOf(1)), RowOf(KeyOf(9))})));
  Reads open;
  clock_.OnWait([&] {
    open = Open();
    return driver_.AnswerOldest(RowsOf);
  });
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(open, Reads{"any: 2"});  // Asked for by itself.
}

TEST_F(GroupedTest, AReplyIsHeldUntilItsLastRowIsLetGo) {
  StartCluster(1, 1, GroupsOf(2));
  Warm();
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  AnswerOpen();
  Element first, second;
  ASSERT_TRUE(fetcher_->Next(&first).ok());
  EXPECT_EQ(Metrics::Global().buffered_bytes, 2 * (4 + 6));
  first = {};
  ASSERT_TRUE(fetcher_->Next(&second).ok());
  EXPECT_EQ(driver_.live_results, 1);
  EXPECT_EQ(Metrics::Global().buffered_bytes, 2 * (4 + 6));
  fetcher_.reset();
  EXPECT_EQ(Metrics::Global().buffered_bytes, 0);
  second = {};  // After everybody left.
  EXPECT_EQ(driver_.live_results, 0);
}

TEST_F(GroupedTest, DuplicatesTravelOnce) {
  StartCluster(1, 1, GroupsOf(3));
  Warm();
  const int64_t duplicates = Metrics::Global().duplicates;
  fetcher_->Submit(KeysOf({1, 1, 2, 1}));
  fetcher_->Submit(KeysOf({2, 3}));
  EXPECT_EQ(Open(), Reads{"10.0.0.1: 1 2 3"});
  AnswerOpen();
  EXPECT_EQ(NextLabels(), (Labels{1, 1, 2, 1}));
  EXPECT_EQ(NextLabels(), (Labels{2, 3}));
  EXPECT_EQ(Metrics::Global().duplicates - duplicates, 3);
}

TEST_F(GroupedTest, OutputsFillAcrossElementsAndGroups) {
  FetchOptions options = GroupsOf(2);
  options.deterministic = false;
  StartCluster(2, 1, options);
  Warm();
  const Ids a = IdsOf(kFirst, 4), b = IdsOf(kSecond, 4);
  fetcher_->Submit(KeysOf({a[0], b[0], a[1], b[1]}));
  fetcher_->Submit(KeysOf({a[2], b[2], a[3], b[3]}));
  for (const uint32_t id : {b[3], b[0]}) {
    const uint32_t other = id == b[3] ? b[2] : b[1];
    ASSERT_TRUE(driver_.Answer(KeyOf(id), FakeAnswer::Rows({RowOf(KeyOf(id)), RowOf(KeyOf(other))})));
  }
  EXPECT_EQ(NextLabels(), LabelsOf({b[2], b[3], b[0], b[1]}));  // The slow node holds up none of these.
  AnswerOpen();
  EXPECT_EQ(NextLabels().size(), 4u);
  EXPECT_EQ(fetcher_->Pending(), 0u);
}

TEST_F(GroupedTest, CancelAndDestructionLeaveNothingOutstanding) {
  StartCluster(2, 2, GroupsOf(8));
  Warm();
  Ids ids(1000);
  std::iota(ids.begin(), ids.end(), 1);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_GT(HostOf(kFirst)->outstanding_rows() + HostOf(kSecond)->outstanding_rows(), 900);
  fetcher_->Cancel();
  EXPECT_EQ(NextStatus().code(), StatusCode::kCancelled);
  fetcher_.reset();
  EXPECT_EQ(HostOf(kFirst)->outstanding_rows(), 0);
  EXPECT_EQ(HostOf(kSecond)->outstanding_rows(), 0);
}

}  // namespace
}  // namespace tfcass
