#include "ops/fetch/row_fetcher.h"

#include <gtest/gtest.h>

#include <thread>

#include "ops/fetch/retired_sessions.h"
#include "ops/testing/fetcher_fixture.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RowFetcherTest : public FetcherFixture {};

FetchOptions WithWindow(int64_t rows) {
  FetchOptions options;
  options.max_in_flight = rows;
  return options;
}

FetchOptions WithMissing(Missing missing) {
  FetchOptions options;
  options.missing = missing;
  return options;
}

TEST_F(RowFetcherTest, AsksForAKeyWithTheOptionsConsistencyIdempotently) {
  FetchOptions options;
  options.consistency = "LOCAL_QUORUM";
  Start(options);
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 16 + i);
  fetcher_->Submit({key});
  ASSERT_EQ(driver_.OpenReads().size(), 1u);
  const FakeRead read = driver_.OpenReads()[0];
  EXPECT_EQ(ToUuidText(read.key), "00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_EQ(read.consistency, CASS_CONSISTENCY_LOCAL_QUORUM);
  EXPECT_EQ(read.timeout_ms, 5000u);  // Half of timeout_s, which leaves time for another attempt.
  EXPECT_TRUE(read.idempotent);
}

TEST_F(RowFetcherTest, ReturnsKeyOrderWhenRepliesArriveReversed) {
  Start();
  fetcher_->Submit(KeysOf({1, 2}));
  fetcher_->Submit(KeysOf({3}));
  AnswerAll({3, 2, 1});
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
  EXPECT_EQ(last_index_, 0);
  EXPECT_EQ(NextLabels(), (Labels{3}));
  EXPECT_EQ(last_index_, 1);
  EXPECT_EQ(fetcher_->Pending(), 0u);
}

TEST_F(RowFetcherTest, FillsOutputsWithWhatComesFirstWhenOrderIsNotAsked) {
  FetchOptions options;
  options.deterministic = false;
  Start(options);
  fetcher_->Submit(KeysOf({1, 2}));
  fetcher_->Submit(KeysOf({3}));
  AnswerAll({3, 2});
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  EXPECT_EQ(element.index, 0);
  ASSERT_EQ(element.rows.size(), 2u);
  EXPECT_EQ(IdOf(element.rows[0].key), 3u);
  EXPECT_EQ(IdOf(element.rows[1].key), 2u);
  ASSERT_EQ(element.taken.size(), 2u);
  EXPECT_EQ(element.taken[0].element, 1);
  EXPECT_EQ(element.taken[0].place, 0u);
  EXPECT_EQ(element.taken[1].element, 0);
  EXPECT_EQ(element.taken[1].place, 1u);
  AnswerAll({1});
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_EQ(last_index_, 1);
  EXPECT_EQ(fetcher_->Pending(), 0u);
}

TEST_F(RowFetcherTest, RepliesInlineInSetCallbackAreTaken) {
  driver_.answer_at_once = [](const FakeRead& read) { return RowOf(read.key); };
  Start();
  fetcher_->Submit(KeysOf({1, 2}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
}

TEST_F(RowFetcherTest, AKeyWantedSeveralTimesIsFetchedOnceAndComesAsOften) {
  Start();
  fetcher_->Submit(KeysOf({1, 2, 1}));
  fetcher_->Submit(KeysOf({1}));
  EXPECT_EQ(OpenIds(), (std::vector<uint32_t>{1, 2}));
  AnswerAll({1});
  fetcher_->Submit(KeysOf({2, 1}));  // 1 is there, 2 on its way.
  AnswerAll({2});
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 1}));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  fetcher_->Submit(KeysOf({1, 3}));  // Settled, and in the window still.
  EXPECT_EQ(OpenIds(), (std::vector<uint32_t>{3}));
  EXPECT_EQ(NextLabels(), (Labels{2, 1}));
  AnswerAll({3});
  EXPECT_EQ(NextLabels(), (Labels{1, 3}));
  EXPECT_EQ(driver_.execute_calls, 3);
  fetcher_->Submit(KeysOf({1}));  // It had left the window: asked for again.
  AnswerAll({1});
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_EQ(driver_.live_results, 0);
}

TEST_F(RowFetcherTest, AnElementWithoutKeysIsCompleteAtOnceAndKeepsItsPlace) {
  Start();
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit({});
  EXPECT_EQ(fetcher_->Pending(), 2u);
  AnswerAll({1});
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_EQ(NextLabels(), (Labels{}));
  EXPECT_EQ(last_index_, 1);
}

TEST_F(RowFetcherTest, NextWithoutSubmitIsAnErrorAndDoesNotWait) {
  Start();
  EXPECT_EQ(NextStatus().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(last_index_, -1);
}

TEST_F(RowFetcherTest, RowsOutliveTheFetcherAndItsSession) {
  Start();
  fetcher_->Submit(KeysOf({7}));
  AnswerAll({7});
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  fetcher_.reset();
  session_.reset();
  EXPECT_EQ(element.rows[0].cells[1].bytes, "data 7");
  EXPECT_EQ(driver_.live_results, 1);
  element = {};
  EXPECT_EQ(driver_.live_results, 0);
}

// --- the window

TEST_F(RowFetcherTest, TheWindowIsBoundedAcrossElements) {
  Start(WithWindow(4));
  fetcher_->Submit(KeysOf({1, 2, 3}));
  EXPECT_TRUE(fetcher_->HasRoom());
  fetcher_->Submit(KeysOf({4, 5, 6}));
  EXPECT_FALSE(fetcher_->HasRoom());
  EXPECT_EQ(OpenIds(), (std::vector<uint32_t>{1, 2, 3, 4}));  // Never more than 4 on the way.

  AnswerAll({1, 2, 3});
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3}));
  EXPECT_EQ(OpenIds(), (std::vector<uint32_t>{4, 5, 6}));  // Refilled before the rows were returned.
  EXPECT_TRUE(fetcher_->HasRoom());
}

TEST_F(RowFetcherTest, ArrivedRowsCountUntilTheyAreReturned) {
  Start(WithWindow(2));
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  AnswerAll({2});
  EXPECT_FALSE(fetcher_->HasRoom());
  AnswerAll({1});
  EXPECT_FALSE(fetcher_->HasRoom());
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_TRUE(fetcher_->HasRoom());
}

TEST_F(RowFetcherTest, AnElementLargerThanTheWindowIsFetchedThroughIt) {
  size_t most_open = 0;
  clock_.OnWait([&] {
    most_open = std::max(most_open, OpenIds().size());
    return driver_.AnswerOldest([](const FakeRead& read) { return RowOf(read.key); });
  });
  Start(WithWindow(2));
  fetcher_->Submit(KeysOf({1, 2, 3, 4, 5}));
  EXPECT_EQ(NextLabels(), (Labels{1, 2, 3, 4, 5}));
  EXPECT_EQ(most_open, 2u);
}

TEST_F(RowFetcherTest, AnEmptyWindowAlwaysHasRoom) {
  FetchOptions options = WithWindow(1);
  options.max_buffered_bytes = 1;
  Start(options);
  for (uint32_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(fetcher_->HasRoom());
    fetcher_->Submit(KeysOf({id}));
    EXPECT_FALSE(fetcher_->HasRoom());
    AnswerAll({id});
    EXPECT_EQ(NextLabels(), (Labels{static_cast<int>(id)}));
  }
}

TEST_F(RowFetcherTest, AFewRowsProbeTheRowSizeFirst) {
  Start(WithWindow(1000));
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < 100; ++id) ids.push_back(id);
  fetcher_->Submit(KeysOf(ids));
  EXPECT_EQ(OpenIds().size(), 32u);
  EXPECT_FALSE(fetcher_->HasRoom());
}

TEST_F(RowFetcherTest, LargeRowsNarrowTheWindowToItsBytes) {
  FetchOptions options = WithWindow(1000);
  options.max_buffered_bytes = 5 * (100'000 + 4);
  Start(options);
  fetcher_->Submit(KeysOf({0}));
  ASSERT_TRUE(driver_.Answer(KeyOf(0), FakeAnswer::Row(KeyOf(0), 0, std::string(100'000, 'x'))));
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  uint32_t submitted = 0;
  while (fetcher_->HasRoom()) fetcher_->Submit(KeysOf({++submitted}));
  EXPECT_EQ(submitted, 4u);  // The row that the consumer holds is one of five.
  element = {};
  while (fetcher_->HasRoom()) fetcher_->Submit(KeysOf({++submitted}));
  EXPECT_EQ(submitted, 5u);
}

TEST_F(RowFetcherTest, BytesThatAreHeldKeepOtherRowsFromBeingAskedFor) {
  FetchOptions options = WithWindow(1000);
  options.max_buffered_bytes = 3 * (100'000 + 4);
  Start(options);
  const auto large_row = [](const Key& key) { return FakeAnswer::Row(key, 0, std::string(100'000, 'x')); };
  const auto large = [&](const FakeRead& read) { return large_row(read.key); };
  fetcher_->Submit(KeysOf({0}));
  ASSERT_TRUE(driver_.AnswerOldest(large));
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  element = {};
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2, 3, 4, 5, 6}));  // More than fits: taken whole, and fetched as there is room.
  EXPECT_EQ(OpenIds(), (std::vector<uint32_t>{1, 2, 3}));
  ASSERT_TRUE(driver_.Answer(KeyOf(2), large_row(KeyOf(2))));
  ASSERT_TRUE(driver_.Answer(KeyOf(3), large_row(KeyOf(3))));
  ASSERT_TRUE(driver_.Answer(KeyOf(1), large_row(KeyOf(1))));
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  EXPECT_TRUE(OpenIds().empty());  // Three rows are there.
  element = {};
  clock_.OnWait([&] { return driver_.AnswerOldest(large); });
  ASSERT_TRUE(fetcher_->Next(&element).ok());  // The rest of what the consumer waits for comes all the same.
  EXPECT_EQ(element.rows.size(), 5u);
}

TEST_F(RowFetcherTest, ElementsWithoutKeysAreBoundedToo) {
  Start(WithWindow(3));
  int submitted = 0;
  while (fetcher_->HasRoom() && submitted < 100) {
    fetcher_->Submit({});
    ++submitted;
  }
  EXPECT_EQ(submitted, 3);
}

// --- cancellation and destruction

TEST_F(RowFetcherTest, CancelWithAThousandRequestsInFlight) {
  driver_.answer_at_once = [](const FakeRead& read) {
    return IdOf(read.key) == 0 ? std::optional(RowOf(read.key)) : std::nullopt;
  };
  Start(WithWindow(1000));
  fetcher_->Submit(KeysOf({0}));
  EXPECT_EQ(NextLabels(), (Labels{0}));
  for (uint32_t id = 1; id <= 1000; ++id) fetcher_->Submit(KeysOf({id}));
  ASSERT_EQ(driver_.OpenReads().size(), 1000u);
  AnswerAll({1});
  fetcher_->Cancel();
  fetcher_->Cancel();
  EXPECT_EQ(NextStatus().code(), StatusCode::kCancelled);  // Even with an element ready.
  EXPECT_EQ(last_index_, -1);
  EXPECT_EQ(NextStatus().code(), StatusCode::kCancelled);
  fetcher_.reset();
  EXPECT_EQ(driver_.OpenReads().size(), 999u);  // Nobody waited for them.
}

TEST_F(RowFetcherTest, CancelWakesAWaitingConsumer) {
  Start({}, Clock::Real());
  fetcher_->Submit(KeysOf({1}));
  std::thread canceller([this] { fetcher_->Cancel(); });
  EXPECT_EQ(NextStatus().code(), StatusCode::kCancelled);
  canceller.join();
}

TEST_F(RowFetcherTest, LateRepliesFindTheMailboxClosed) {
  Start();
  fetcher_->Submit(KeysOf({1, 2, 3}));
  AnswerAll({1});
  fetcher_.reset();
  session_.reset();
  const int futures = driver_.live_futures;
  AnswerAll({3});                                // After everybody left.
  EXPECT_EQ(driver_.live_futures, futures - 1);  // Dropped at once, and not with the last reply.
  AnswerAll({2});
  EXPECT_EQ(driver_.live_results, 0);
  EXPECT_EQ(FreeClosedSessions(), 0u);
  EXPECT_EQ(driver_.live_futures, 0);
}

TEST_F(RowFetcherTest, DestructionDoesNotWaitForTheSessionToClose) {
  driver_.closes = false;
  Start();
  fetcher_->Submit(KeysOf({1}));
  session_.reset();
  fetcher_.reset();
  EXPECT_EQ(driver_.close_calls, 1);
  EXPECT_EQ(driver_.sessions, 1);
  AnswerAll({1});
  driver_.closes = true;
  EXPECT_EQ(FreeClosedSessions(), 0u);
  EXPECT_EQ(driver_.sessions, 0);
}

// --- missing rows and nulls

TEST_F(RowFetcherTest, AMissingRowIsAnErrorThatNamesTableAndUuid) {
  Start(WithMissing(Missing::kError));
  fetcher_->Submit(KeysOf({1, 2}));
  fetcher_->Submit(KeysOf({3}));
  AnswerAll({1, 3});
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Missing()));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "no row 00000000-0000-0000-0000-000000000002 in ks.data (asked 10.0.0.1 port 9042, 1 attempt in 0 s, "
            "consistency LOCAL_ONE); "
            "ingest it again, or pass FetchOptions(missing=\"skip\")");
  EXPECT_EQ(NextLabels(), (Labels{3}));  // The next element is there still.
}

TEST_F(RowFetcherTest, AMissingRowIsSkipped) {
  Start(WithMissing(Missing::kSkip));
  fetcher_->Submit(KeysOf({1, 2, 3}));
  fetcher_->Submit(KeysOf({4}));
  AnswerAll({1, 3});
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Missing()));
  ASSERT_TRUE(driver_.Answer(KeyOf(4), FakeAnswer::Missing()));
  EXPECT_EQ(NextLabels(), (Labels{1, 3}));
  EXPECT_EQ(NextLabels(), (Labels{}));
}

TEST_F(RowFetcherTest, AMissingRowIsKeptEmpty) {
  Start(WithMissing(Missing::kEmpty));
  fetcher_->Submit(KeysOf({1, 2}));
  AnswerAll({1});
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Missing()));
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  ASSERT_EQ(element.rows.size(), 2u);
  EXPECT_FALSE(element.rows[1].found);
  EXPECT_EQ(element.rows[1].key, KeyOf(2));
  EXPECT_TRUE(element.rows[1].cells.empty());
}

TEST_F(RowFetcherTest, NullAndEmptyCellsAreTold) {
  Start();
  fetcher_->Submit(KeysOf({1, 2}));
  FakeAnswer answer = RowOf(KeyOf(1));
  answer.rows[0][1] = std::nullopt;
  answer.rows[0][2] = std::nullopt;
  ASSERT_TRUE(driver_.Answer(KeyOf(1), answer));
  answer = RowOf(KeyOf(2));
  answer.rows[0][1] = "";  // An int of no bytes: Cassandra's legacy "empty".
  answer.rows[0][2] = "";
  ASSERT_TRUE(driver_.Answer(KeyOf(2), answer));
  Element element;
  ASSERT_TRUE(fetcher_->Next(&element).ok());
  EXPECT_TRUE(element.rows[0].cells[0].is_null);
  EXPECT_TRUE(element.rows[0].cells[1].is_null);
  EXPECT_TRUE(element.rows[1].cells[0].is_null);
  EXPECT_FALSE(element.rows[1].cells[1].is_null);
  EXPECT_EQ(element.rows[1].cells[1].bytes, "");
}

// --- replies that are not what was asked for

TEST_F(RowFetcherTest, AColumnOfAnotherTypeIsNamedWithBothTypes) {
  driver_.column_types[1] = CASS_VALUE_TYPE_BIGINT;
  Start();
  fetcher_->Submit(KeysOf({1}));
  AnswerAll({1});
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "column label of ks.data is bigint in the cluster, but int was expected"))
      << status.message();
}

TEST_F(RowFetcherTest, ACellOfTheWrongWidthIsRefused) {
  Start();
  fetcher_->Submit(KeysOf({1}));
  FakeAnswer answer = RowOf(KeyOf(1));
  answer.rows[0][1] = "123";
  ASSERT_TRUE(driver_.Answer(KeyOf(1), answer));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_TRUE(Contains(status.message(), "column label of ks.data has 3 bytes, not 4")) << status.message();
}

TEST_F(RowFetcherTest, ARowOfAnotherKeyIsNotTakenForTheAskedOne) {
  Start();
  fetcher_->Submit(KeysOf({1}));
  ASSERT_TRUE(driver_.Answer(KeyOf(1), RowOf(KeyOf(2))));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kInternal);  // It may well exist: not "not found".
  EXPECT_TRUE(Contains(status.message(), "cannot read row 00000000-0000-0000-0000-000000000001 of ks.data: the reply "
                                         "has row 00000000-0000-0000-0000-000000000002 instead"))
      << status.message();
}

TEST_F(RowFetcherTest, SeveralRowsOfAKeyAreRefused) {
  Start();
  fetcher_->Submit(KeysOf({1}));
  FakeAnswer answer = RowOf(KeyOf(1));
  answer.rows.push_back(answer.rows[0]);
  ASSERT_TRUE(driver_.Answer(KeyOf(1), answer));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "its primary key has more columns than patch_id")) << status.message();
}

// --- errors and retries

TEST_F(RowFetcherTest, AnErrorMidWindowNamesTheRowAndSparesTheOthers) {
  Start();
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  fetcher_->Submit(KeysOf({3}));
  AnswerAll({3, 1});
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Error(CASS_ERROR_SERVER_UNAUTHORIZED, "no SELECT permission")));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  const Status status = NextStatus();
  EXPECT_EQ(last_index_, 1);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  for (const char* part : {"cannot read row 00000000-0000-0000-0000-000000000002 of ks.data", "no SELECT permission",
                           "10.0.0.1 port 9042", "1 attempt in 0 s", "consistency LOCAL_ONE"}) {
    EXPECT_TRUE(Contains(status.message(), part)) << part << " is not in: " << status.message();
  }
  EXPECT_EQ(NextLabels(), (Labels{3}));
}

TEST_F(RowFetcherTest, ARetriableErrorIsRetriedAfterADelay) {
  Start();
  int failures = 2;
  clock_.OnWait([&] {
    return driver_.AnswerOldest([&](const FakeRead& read) {
      return failures-- > 0 ? FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy") : RowOf(read.key);
    });
  });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1}));
  EXPECT_EQ(NextLabels(), (Labels{1}));
  EXPECT_EQ(driver_.execute_calls, 3);
  EXPECT_GE(clock_.Now() - start, milliseconds(25 + 50));
  EXPECT_LE(clock_.Now() - start, milliseconds(50 + 100));
}

TEST_F(RowFetcherTest, ARetryHoldsUpNoOtherRow) {
  FetchOptions options;
  options.deterministic = false;
  Start(options);
  fetcher_->Submit(KeysOf({1}));
  fetcher_->Submit(KeysOf({2}));
  ASSERT_TRUE(driver_.Answer(KeyOf(1), FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy")));
  AnswerAll({2});
  EXPECT_EQ(NextLabels(), (Labels{2}));
  EXPECT_TRUE(OpenIds().empty());
  clock_.OnWait([&] { return driver_.AnswerOldest([](const FakeRead& read) { return RowOf(read.key); }); });
  EXPECT_EQ(NextLabels(), (Labels{1}));
}

TEST_F(RowFetcherTest, AttemptsRunOut) {
  FetchOptions options;
  options.max_retries = 2;
  Start(options);
  clock_.OnWait([&] {
    return driver_.AnswerOldest(
        [](const FakeRead&) { return FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "too busy"); });
  });
  fetcher_->Submit(KeysOf({1}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(driver_.execute_calls, 3);
  for (const char* part : {"row 00000000-0000-0000-0000-000000000001 of ks.data", "too busy", "3 attempts",
                           "check that the nodes are up, or raise FetchOptions(max_retries, timeout_s)"}) {
    EXPECT_TRUE(Contains(status.message(), part)) << part << " is not in: " << status.message();
  }
  EXPECT_TRUE(session_->doubtful());
}

TEST_F(RowFetcherTest, AnOutageIsWaitedOutUntilTheDeadline) {
  FetchOptions options;
  options.max_retries = 2;
  Start(options);
  const auto start = clock_.Now();
  clock_.OnWait([&] {
    return driver_.AnswerOldest([&](const FakeRead& read) {
      if (clock_.Now() - start > seconds(8)) return RowOf(read.key);
      return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "all down");
    });
  });
  fetcher_->Submit(KeysOf({1}));
  EXPECT_EQ(NextLabels(), (Labels{1}));
}

TEST_F(RowFetcherTest, AnOutageLongerThanTheDeadlineIsAnError) {
  FetchOptions options;
  options.max_retries = 2;
  Start(options);
  const auto start = clock_.Now();
  clock_.OnWait([&] {
    return driver_.AnswerOldest(
        [](const FakeRead&) { return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "all down"); });
  });
  fetcher_->Submit(KeysOf({1}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(status.message(), "all down")) << status.message();
  EXPECT_GE(clock_.Now() - start, seconds(8));
  EXPECT_LE(clock_.Now() - start, seconds(10));
}

TEST_F(RowFetcherTest, TheDeadlineEndsTheRetries) {
  FetchOptions options;
  options.timeout_s = 1;
  options.max_retries = 1000;
  Start(options);
  clock_.OnWait([&] {
    return driver_.AnswerOldest([&](const FakeRead& read) {
      clock_.Advance(milliseconds(read.timeout_ms));
      return FakeAnswer::Error(CASS_ERROR_LIB_REQUEST_TIMED_OUT, "Request timed out");
    });
  });
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Contains(status.message(), "raise FetchOptions(timeout_s)")) << status.message();
  EXPECT_GT(driver_.execute_calls, 1);
  EXPECT_LE(clock_.Now() - start, seconds(1));
}

TEST_F(RowFetcherTest, DelaysCountTowardsTheDeadline) {
  FetchOptions options;
  options.timeout_s = 1;
  options.max_retries = 1000;
  Start(options);
  driver_.answer_at_once = [](const FakeRead&) { return FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy"); };
  const auto start = clock_.Now();
  fetcher_->Submit(KeysOf({1}));
  EXPECT_EQ(NextStatus().code(), StatusCode::kUnavailable);
  EXPECT_LE(clock_.Now() - start, seconds(1));
  EXPECT_GE(clock_.Now() - start, milliseconds(200));
}

TEST_F(RowFetcherTest, ADriverThatNeverRepliesIsGivenUp) {
  FetchOptions options;
  options.timeout_s = 2;
  options.max_retries = 0;
  Start(options);
  fetcher_->Submit(KeysOf({1}));
  const Status status = NextStatus();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Contains(status.message(), "the driver gave no reply in time")) << status.message();
  AnswerAll({1});  // Too late: ignored.
  fetcher_->Submit(KeysOf({2}));
  AnswerAll({2});
  EXPECT_EQ(NextLabels(), (Labels{2}));
}

TEST_F(RowFetcherTest, TheTimeThatNobodyAskedForRowsDoesNotCount) {
  FetchOptions options;
  options.timeout_s = 1;
  Start(options);
  fetcher_->Submit(KeysOf({1, 2}));
  AnswerAll({1});
  ASSERT_TRUE(driver_.Answer(KeyOf(2), FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy")));
  clock_.Advance(seconds(60));  // A long training step.
  clock_.OnWait([&] { return driver_.AnswerOldest([](const FakeRead& read) { return RowOf(read.key); }); });
  EXPECT_EQ(NextLabels(), (Labels{1, 2}));
}

}  // namespace
}  // namespace tfcass
