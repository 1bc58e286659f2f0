#include "ops/fetch/ring/ring_source.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "ops/fetch/session.h"
#include "ops/testing/fake_driver.h"
#include "ops/testing/fake_topology.h"
#include "ops/testing/manual_clock.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RingSourceTest : public testing::Test {
 protected:
  RingSourceTest() {
    cluster_.nodes = {
        {"10.0.0.1", "dc1", "r1", {-100}}, {"10.0.0.2", "dc1", "r1", {0}}, {"10.0.0.3", "dc2", "r1", {50}}};
    cluster_.keyspaces["ks"] = {{"class", "org.apache.cassandra.locator.SimpleStrategy"}, {"replication_factor", "1"}};
    driver_.answer_query = [this](const FakeQuery& query) -> std::optional<FakeAnswer> {
      asked_.push_back(query);
      if (!answers_) return std::nullopt;
      return cluster_.Answer(query);
    };
  }

  void Connect(const std::string& local_dc = "", std::shared_ptr<const DriverApi> api = nullptr) {
    ClusterConfig config;
    config.contact_points = {"10.0.0.1"};
    config.local_dc = local_dc;
    config.connect_timeout_s = 2.5;
    if (api == nullptr) api = driver_.api();
    ASSERT_TRUE(Session::Connect(std::move(api), config, 1, &session_).ok());
  }

  std::shared_ptr<const Ring> Get(const std::string& keyspace = "ks") {
    why_.clear();
    return session_->ring(keyspace, &why_, &clock_);
  }

  // Why there is no ring, on a session of its own.
  std::string WhyNone(const std::string& keyspace = "ks", const std::string& local_dc = "") {
    Connect(local_dc);
    EXPECT_EQ(Get(keyspace), nullptr);
    return why_;
  }

  // "10.0.0.1 10.0.0.2"
  static std::string Hosts(const std::shared_ptr<const Ring>& ring) {
    std::string names;
    for (const auto& host : ring->hosts()) names += (names.empty() ? "" : " ") + host->address();
    return names;
  }

  // Answers what is open, and what that leads to.
  void AnswerAll() {
    const auto answer = [this](const FakeQuery& query) { return cluster_.Answer(query); };
    while (driver_.AnswerQuery(answer)) {
    }
  }

  ManualClock clock_;
  FakeTopology cluster_;
  FakeDriver driver_;
  bool answers_ = true;  // At once.
  std::vector<FakeQuery> asked_;
  std::shared_ptr<Session> session_;
  std::string why_;
};

TEST_F(RingSourceTest, TheFirstCallReadsTheRingAndLaterOnesKeepIt) {
  Connect("dc1");
  const auto ring = Get();
  ASSERT_NE(ring, nullptr) << why_;
  EXPECT_EQ(Hosts(ring), "10.0.0.1 10.0.0.2");
  EXPECT_EQ(ring->OwnersOf(-50)[0]->name(), "10.0.0.2:9042");
  EXPECT_TRUE(ring->OwnersOf(20).empty());
  EXPECT_EQ(Get(), ring);
  EXPECT_EQ(driver_.query_calls, 3);
}

TEST_F(RingSourceTest, PeersAndSchemaAreThoseOfTheNodeThatAnswered) {
  cluster_.answering = 1;
  Connect();
  ASSERT_NE(Get(), nullptr) << why_;
  ASSERT_EQ(asked_.size(), 3u);
  EXPECT_EQ(asked_[0].host, "");
  EXPECT_EQ(asked_[1].host, "10.0.0.2");
  EXPECT_EQ(asked_[2].host, "10.0.0.2");
}

TEST_F(RingSourceTest, WithoutADatacenterOfTheUsersItIsTheFirstAnswerersForGood) {
  cluster_.answering = 2;
  Connect();
  EXPECT_EQ(Get()->local_dc(), "dc2");
  EXPECT_EQ(Hosts(Get()), "10.0.0.3");
  cluster_.answering = 0;
  clock_.Advance(RingSource::kPeriod);
  Get();
  EXPECT_EQ(Get()->local_dc(), "dc2");
}

TEST_F(RingSourceTest, ADriverWithoutHandlesOfNodesIsAskedByAddress) {
  cluster_.answering = 1;
  Connect("", driver_.OldApi(/*pinning=*/true));
  const auto ring = Get();
  ASSERT_NE(ring, nullptr) << why_;
  EXPECT_EQ(asked_[1].host, "10.0.0.2");
  EXPECT_EQ(Hosts(ring), "10.0.0.1 10.0.0.2");
}

TEST_F(RingSourceTest, SaysWhyThereIsNoRing) {
  EXPECT_EQ(WhyNone("other"), "keyspace other is not in system_schema.keyspaces");
  EXPECT_EQ(WhyNone("ks", "dc7"),
            "keyspace ks: no node with tokens is in the datacenter 'dc7' (local_dc; the cluster has: dc1, dc2)");

  cluster_.keyspaces["own"] = {{"class", "com.example.OwnStrategy"}};
  EXPECT_EQ(WhyNone("own"), "keyspace own: its replication strategy, com.example.OwnStrategy, is not known here");

  cluster_.partitioner = "org.apache.cassandra.dht.RandomPartitioner";
  EXPECT_EQ(WhyNone(),
            "the cluster's partitioner is org.apache.cassandra.dht.RandomPartitioner, not Murmur3Partitioner");

  Connect("", driver_.OldApi(/*pinning=*/false));
  EXPECT_EQ(Get(), nullptr);
  EXPECT_EQ(why_, "the driver, fake, cannot send a request to a node of choice");
}

TEST_F(RingSourceTest, SeveralNodesBehindOneAddressAreNoRing) {
  cluster_.nodes[1].rpc_address = "10.0.0.3";
  EXPECT_EQ(WhyNone(), "several nodes have the address 10.0.0.3, so none of them can be named by it");
}

TEST_F(RingSourceTest, RefusedTablesAreNamedAndTriedAgainAfterAWhile) {
  const auto answer = driver_.answer_query;
  driver_.answer_query = [](const FakeQuery&) {
    return FakeAnswer::Error(CASS_ERROR_SERVER_UNAUTHORIZED, "no SELECT permission");
  };
  const std::string why = WhyNone();
  EXPECT_EQ(why.find("system.local cannot be read: no SELECT permission"), 0u) << why;

  driver_.answer_query = answer;
  clock_.Advance(RingSource::kAfterError - milliseconds(1));
  EXPECT_EQ(Get(), nullptr);
  clock_.Advance(milliseconds(1));
  EXPECT_NE(Get(), nullptr) << why_;
}

TEST_F(RingSourceTest, AFirstReadingThatGetsNoAnswerIsGivenUp) {
  answers_ = false;
  EXPECT_EQ(WhyNone(), "system.local gave no answer in 2.5 s (connect_timeout_s)");
}

TEST_F(RingSourceTest, TablesWithoutSenseAreRefused) {
  cluster_.nodes[0].dc = "";
  EXPECT_EQ(WhyNone(), "system.local lacks address or datacenter");
  driver_.answer_query = [](const FakeQuery&) { return FakeAnswer::Missing(); };
  EXPECT_EQ(WhyNone(), "system.local has no row");
}

TEST_F(RingSourceTest, HalfAPeersRowIsPassedOver) {
  cluster_.nodes.push_back({"10.0.0.4", "", "r1", {7}});
  Connect();
  EXPECT_EQ(Hosts(Get()), "10.0.0.1 10.0.0.2");
}

TEST_F(RingSourceTest, ANodeThatListensEverywhereGoesByItsOwnAddress) {
  cluster_.nodes[0].rpc_address = "0.0.0.0";
  cluster_.nodes[1].rpc_address = "::";
  Connect();
  EXPECT_EQ(Hosts(Get()), "10.0.0.1 10.0.0.2");
}

TEST_F(RingSourceTest, ANodeThatTheDriverKnowsByAnotherAddressGoesByThat) {
  Connect();
  for (const char* address : {"127.0.0.1", "10.0.0.2", "10.0.0.3"}) {
    driver_.TellListener(CASS_HOST_LISTENER_EVENT_ADD, address);
  }
  EXPECT_EQ(Hosts(Get()), "127.0.0.1 10.0.0.2");
}

TEST_F(RingSourceTest, AfterAMinuteItAsksAgainWithoutWaiting) {
  Connect();
  const auto before = Get();
  answers_ = false;
  cluster_.nodes.push_back({"10.0.0.4", "dc1", "r1", {-7}});
  clock_.Advance(RingSource::kPeriod - milliseconds(1));
  EXPECT_EQ(Get(), before);
  EXPECT_EQ(driver_.query_calls, 3);

  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Get(), before);  // Sends the question.
  EXPECT_EQ(driver_.query_calls, 4);
  EXPECT_EQ(Get(), before);
  AnswerAll();
  EXPECT_EQ(Get(), before);  // Sends the other two.
  EXPECT_EQ(driver_.query_calls, 6);
  AnswerAll();
  const auto after = Get();
  EXPECT_EQ(Hosts(after), "10.0.0.1 10.0.0.2 10.0.0.4");
  EXPECT_EQ(driver_.query_calls, 6);
}

TEST_F(RingSourceTest, HostsStayTheSameAndSoDoesARingThatDidNotChange) {
  Connect();
  const auto before = Get();
  before->hosts()[1]->AddOutstanding(5);
  cluster_.answering = 1;  // Another node tells the same.
  clock_.Advance(RingSource::kPeriod);
  EXPECT_EQ(Get(), before);

  cluster_.nodes.push_back({"10.0.0.4", "dc1", "r1", {-7}});
  cluster_.nodes[0].rack = "r9";  // Moved: a host of its own.
  clock_.Advance(RingSource::kPeriod);
  const auto after = Get();
  EXPECT_NE(after, before);
  EXPECT_EQ(after->hosts()[1], before->hosts()[1]);
  EXPECT_EQ(after->hosts()[1]->outstanding_rows(), 5);
  EXPECT_NE(after->hosts()[0], before->hosts()[0]);
}

TEST_F(RingSourceTest, AFailedRefreshKeepsTheRing) {
  Connect();
  const auto before = Get();
  driver_.answer_query = nullptr;  // Refuses.
  clock_.Advance(RingSource::kPeriod);
  EXPECT_EQ(Get(), before);
  EXPECT_EQ(driver_.query_calls, 4);
  EXPECT_EQ(Get(), before);
  EXPECT_EQ(driver_.query_calls, 4);
  clock_.Advance(RingSource::kAfterError);
  EXPECT_EQ(Get(), before);
  EXPECT_EQ(driver_.query_calls, 5);
}

TEST_F(RingSourceTest, AFailedHostMakesItAskAtMostOnceASecond) {
  Connect();
  Get();
  session_->RefreshRing();
  Get();
  EXPECT_EQ(driver_.query_calls, 3);  // It was read just now.
  clock_.Advance(RingSource::kLeastGap);
  Get();
  EXPECT_EQ(driver_.query_calls, 6);
  clock_.Advance(RingSource::kLeastGap);
  Get();
  EXPECT_EQ(driver_.query_calls, 6);
}

TEST_F(RingSourceTest, AnEventMakesItAskNowAndOnceMoreWhenThingsHaveSettled) {
  Connect();
  Get();
  clock_.Advance(RingSource::kLeastGap);
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_ADD, "10.0.0.4");
  Get();
  EXPECT_EQ(driver_.query_calls, 6);
  cluster_.nodes.push_back({"10.0.0.4", "dc1", "r1", {-7}});  // The tables tell it late.
  clock_.Advance(RingSource::kSettling);
  EXPECT_EQ(Hosts(Get()), "10.0.0.1 10.0.0.2 10.0.0.4");
  clock_.Advance(RingSource::kSettling);
  Get();
  EXPECT_EQ(driver_.query_calls, 9);
}

TEST_F(RingSourceTest, HostsAreUpAndDownAsTheDriverSays) {
  Connect();
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_DOWN, "10.0.0.1");  // Before anybody asked for a ring.
  const auto ring = Get();
  EXPECT_FALSE(ring->hosts()[0]->up());
  EXPECT_TRUE(ring->hosts()[1]->up());
  ring->hosts()[0]->MarkFailed(clock_.Now());
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_UP, "10.0.0.1");
  EXPECT_FALSE(ring->hosts()[0]->Shunned(clock_.Now()));  // Reached again: no longer suspect either.
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_REMOVE, "10.0.0.2");
  EXPECT_FALSE(ring->hosts()[1]->up());
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_ADD, "2001:db8::1");  // Nobody's address is no harm.
}

TEST_F(RingSourceTest, AKeyspaceMadeMeanwhileIsFoundAtOnce) {
  Connect();
  Get();
  cluster_.keyspaces["fresh"] = cluster_.keyspaces["ks"];
  EXPECT_NE(Get("fresh"), nullptr) << why_;
  EXPECT_EQ(driver_.query_calls, 6);
  EXPECT_EQ(Get("none"), nullptr);
  EXPECT_EQ(Get("none"), nullptr);  // Nobody waits for it twice.
  EXPECT_EQ(driver_.query_calls, 9);
}

TEST_F(RingSourceTest, WhoMustWaitTakesOverAReadingThatIsUnderWay) {
  Connect();
  Get();
  answers_ = false;
  clock_.Advance(RingSource::kPeriod);
  Get();  // Sends the question.
  cluster_.keyspaces["fresh"] = cluster_.keyspaces["ks"];
  AnswerAll();
  answers_ = true;
  EXPECT_NE(Get("fresh"), nullptr) << why_;
  EXPECT_EQ(driver_.query_calls, 6);
}

TEST_F(RingSourceTest, RepliesAndEventsAfterTheSessionsEndAreHarmless) {
  Connect();
  const auto ring = Get();
  answers_ = false;
  clock_.Advance(RingSource::kPeriod);
  Get();
  session_.reset();
  EXPECT_EQ(driver_.live_futures, 1);  // The driver's own share of the question.
  AnswerAll();
  EXPECT_EQ(driver_.live_futures, 0);
  driver_.TellListener(CASS_HOST_LISTENER_EVENT_DOWN, "10.0.0.1");
  EXPECT_TRUE(ring->hosts()[0]->up());  // The ring lives as long as its holder.
}

TEST_F(RingSourceTest, AForkedChildHasNoRing) {
  Connect();
  ASSERT_NE(Get(), nullptr);
  clock_.Advance(RingSource::kPeriod);
  const pid_t child = fork();
  if (child == 0) {
    session_->RefreshRing();
    const bool refused = Get() == nullptr && why_.find("was forked from") != std::string::npos;
    session_.reset();
    _exit(refused && driver_.query_calls == 3 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_NE(Get(), nullptr);
}

TEST_F(RingSourceTest, StressTestManyReadersEventsAndLateAnswers) {
  Connect();
  ASSERT_NE(Get(), nullptr) << why_;
  ASSERT_EQ(Get("none"), nullptr);
  // Its own answers from here on: those of the fixture are for one thread.
  driver_.answer_query = [this](const FakeQuery& query) -> std::optional<FakeAnswer> {
    static std::atomic<int> calls{0};
    if (++calls % 3 == 0) return std::nullopt;
    return cluster_.Answer(query);
  };
  std::atomic<bool> ends{false};
  std::thread answering([&] {
    while (!ends) {
      AnswerAll();
      driver_.TellListener(CASS_HOST_LISTENER_EVENT_DOWN, "10.0.0.2");
      driver_.TellListener(CASS_HOST_LISTENER_EVENT_UP, "10.0.0.2");
      std::this_thread::yield();
    }
    AnswerAll();
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; driver_.query_calls < 200; ++i) {  // Some sixty readings.
        std::this_thread::yield();
        clock_.Advance(milliseconds(300));
        std::string why;
        const auto ring = session_->ring(i % 7 == 0 ? "none" : "ks", &why, &clock_);
        if (i % 7 != 0) {
          ASSERT_NE(ring, nullptr) << why;
          EXPECT_EQ(ring->OwnersOf(-50)[0]->address(), "10.0.0.2");
        }
        if (i % 10 == 0) session_->RefreshRing();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ends = true;
  answering.join();
}

}  // namespace
}  // namespace tfcass
