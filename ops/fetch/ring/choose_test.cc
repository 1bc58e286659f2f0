#include "ops/fetch/ring/choose.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace tfcass {
namespace {

using std::chrono::seconds;

const Clock::TimePoint kNow = Clock::TimePoint(std::chrono::hours(1));

class ChooseTest : public testing::Test {
 protected:
  void Make(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      hosts_.push_back(std::make_shared<Host>("10.0.0." + std::to_string(i), 9042, "dc1", "r1"));
    }
  }

  // How often each host is chosen.
  std::vector<int> Draw(int times, const Host* besides = nullptr) {
    std::vector<int> chosen(hosts_.size());
    for (int i = 0; i < times; ++i) {
      const std::shared_ptr<Host> host = Choose(Owners(hosts_), &random_, kNow, besides);
      for (size_t h = 0; h < hosts_.size(); ++h) chosen[h] += host == hosts_[h] ? 1 : 0;
    }
    return chosen;
  }

  std::vector<std::shared_ptr<Host>> hosts_;
  Random random_{7};
};

TEST_F(ChooseTest, NobodyIsNobody) {
  EXPECT_EQ(Choose(Owners(), &random_, kNow), nullptr);
  EXPECT_EQ(Choose(Owners(hosts_), &random_, kNow), nullptr);
}

TEST_F(ChooseTest, SpreadsEvenlyOverIdleOwners) {
  Make(3);
  for (const int chosen : Draw(3000)) {
    EXPECT_GT(chosen, 850);
    EXPECT_LT(chosen, 1150);
  }
}

TEST_F(ChooseTest, OfTwoTheLessBusy) {
  Make(2);
  hosts_[0]->AddOutstanding(1);
  EXPECT_EQ(Draw(100), (std::vector<int>{0, 100}));
  hosts_[1]->AddOutstanding(2);
  EXPECT_EQ(Draw(100), (std::vector<int>{100, 0}));
}

TEST_F(ChooseTest, OfManyNeverTheBusiestAndNotAlwaysTheIdlest) {
  Make(4);
  for (size_t i = 0; i < hosts_.size(); ++i) hosts_[i]->AddOutstanding(static_cast<int64_t>(i));
  const std::vector<int> chosen = Draw(1000);
  EXPECT_EQ(chosen[3], 0);
  EXPECT_GT(chosen[1], 0);
  EXPECT_GT(chosen[0], chosen[1]);
  EXPECT_EQ(chosen[0] + chosen[1] + chosen[2], 1000);
}

TEST_F(ChooseTest, KeepsLoadsCloseWhenChoicesCount) {
  Make(5);
  for (int i = 0; i < 5000; ++i) Choose(Owners(hosts_), &random_, kNow)->AddOutstanding(1);
  for (const auto& host : hosts_) {
    EXPECT_GT(host->outstanding_rows(), 980);
    EXPECT_LT(host->outstanding_rows(), 1020);
  }
}

TEST_F(ChooseTest, LeavesOutWhoIsDownOrSuspectOrExcepted) {
  Make(4);
  hosts_[0]->SetUp(false);
  hosts_[1]->MarkFailed(kNow);
  const std::vector<int> chosen = Draw(100);
  EXPECT_EQ(chosen[0] + chosen[1], 0);
  EXPECT_EQ(Draw(100, hosts_[2].get()), (std::vector<int>{0, 0, 0, 100}));
}

TEST_F(ChooseTest, NullWhenNoneIsLeft) {
  Make(2);
  hosts_[0]->SetUp(false);
  hosts_[1]->MarkFailed(kNow);
  EXPECT_EQ(Choose(Owners(hosts_), &random_, kNow), nullptr);
  hosts_[0]->SetUp(true);
  EXPECT_EQ(Choose(Owners(hosts_), &random_, kNow, hosts_[0].get()), nullptr);
}

TEST_F(ChooseTest, ProbesASuspectOnceItsQuietIsOver) {
  Make(2);
  hosts_[0]->MarkFailed(kNow - seconds(1));
  hosts_[1]->AddOutstanding(100);  // The idle suspect would win each time.
  EXPECT_EQ(Draw(100), (std::vector<int>{1, 99}));
}

TEST_F(ChooseTest, TakesMoreOwnersThanItLooksAt) {
  Make(40);
  for (const int chosen : Draw(8000)) EXPECT_GT(chosen, 0);
}

}  // namespace
}  // namespace tfcass
