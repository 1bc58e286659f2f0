#include "ops/fetch/element_window.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tfcass {
namespace {

// A window and the keys in it. Elements are of ids; the same id is the same key.
class ElementWindowTest : public testing::Test {
 protected:
  void Start(bool deterministic, bool skip_missing = false) {
    window_ = std::make_unique<ElementWindow>(deterministic, skip_missing);
  }

  void Add(const std::vector<uint8_t>& ids) {
    std::vector<PendingKey*> wanted;
    for (size_t i = 0; i < ids.size(); ++i) {
      bool fresh;
      wanted.push_back(keys_.Want(Key{ids[i]}, {window_->next_index(), i}, &fresh));
      if (fresh) pending_[ids[i]] = wanted.back();
    }
    window_->Add(std::move(wanted));
  }

  void Find(uint8_t id) { Settle(id, PendingKey::Outcome::kFound, OkStatus()); }
  void Miss(uint8_t id) { Settle(id, PendingKey::Outcome::kMissing, OkStatus()); }
  void Fail(uint8_t id, const std::string& why) { Settle(id, PendingKey::Outcome::kFailed, NotFound(why)); }

  Element Take() {
    EXPECT_TRUE(window_->Ready());
    Element element;
    status_ = window_->Take(&keys_, &element);
    return element;
  }
  std::vector<int> TakeIds() {
    std::vector<int> ids;
    for (const Row& row : Take().rows) ids.push_back(row.key[0]);
    EXPECT_TRUE(status_.ok()) << status_.message();
    return ids;
  }

  KeyTable keys_;
  std::unique_ptr<ElementWindow> window_;
  Status status_;  // Of the last Take().

 private:
  void Settle(uint8_t id, PendingKey::Outcome outcome, Status error) {
    PendingKey* key = pending_.at(id);
    key->outcome = outcome;
    key->error = std::move(error);
    key->row.key = key->key;
    key->row.found = outcome == PendingKey::Outcome::kFound;
    window_->Settled(key);
  }

  std::map<uint8_t, PendingKey*> pending_;
};

using Ids = std::vector<int>;

std::vector<std::pair<int64_t, size_t>> SlotsOf(const Element& element) {
  std::vector<std::pair<int64_t, size_t>> slots;
  for (const RowSlot& slot : element.taken) slots.emplace_back(slot.element, slot.place);
  return slots;
}

TEST_F(ElementWindowTest, DeterministicElementsLeaveInOrder) {
  Start(/*deterministic=*/true);
  Add({1, 2});
  Add({3});
  EXPECT_EQ(window_->rows(), 3u);
  Find(3);
  Find(2);
  EXPECT_FALSE(window_->Ready());
  Find(1);

  const Element element = Take();
  EXPECT_EQ(element.index, 0);
  EXPECT_EQ(element.rows[0].key[0], 1);
  EXPECT_EQ(element.rows[1].key[0], 2);
  EXPECT_TRUE(element.taken.empty());
  EXPECT_EQ(window_->rows(), 1u);
  EXPECT_EQ(Take().index, 1);
  EXPECT_FALSE(window_->Ready());
  EXPECT_EQ(window_->elements(), 0u);
}

TEST_F(ElementWindowTest, AKeyWantedTwiceGoesToBothPlaces) {
  for (const bool deterministic : {true, false}) {
    Start(deterministic);
    Add({1, 2, 1});
    Add({1});
    Find(1);
    Find(2);
    EXPECT_EQ(TakeIds(), deterministic ? (Ids{1, 2, 1}) : (Ids{1, 1, 1}));
    EXPECT_EQ(TakeIds(), deterministic ? Ids{1} : Ids{2});
  }
}

TEST_F(ElementWindowTest, AKeyThatIsSettledAlreadyIsThereAtOnce) {
  for (const bool deterministic : {true, false}) {
    Start(deterministic);
    Add({1, 2});
    Find(1);
    Add({1});
    Find(2);
    EXPECT_EQ(TakeIds().size(), 2u);
    EXPECT_EQ(TakeIds().size(), 1u);
  }
}

TEST_F(ElementWindowTest, AKeyIsForgottenWithItsLastSlot) {
  Start(/*deterministic=*/true);
  Add({1, 1});
  Find(1);
  Take();
  Add({1});
  EXPECT_FALSE(window_->Ready());  // To be fetched again.
}

TEST_F(ElementWindowTest, OtherOutputsAreFilledWithWhatComesFirst) {
  Start(/*deterministic=*/false);
  Add({1, 2});
  Add({3});
  Add({4, 5});
  Find(5);
  EXPECT_FALSE(window_->Ready());
  Find(3);
  Element element = Take();
  EXPECT_EQ(element.index, 0);
  EXPECT_EQ(element.rows[0].key[0], 5);
  EXPECT_EQ(element.rows[1].key[0], 3);
  EXPECT_EQ(SlotsOf(element), (std::vector<std::pair<int64_t, size_t>>{{2, 1}, {1, 0}}));
  EXPECT_EQ(window_->rows(), 3u);
  Find(4);
  element = Take();
  EXPECT_EQ(element.index, 1);  // Of one row, as element 1 had.
  EXPECT_EQ(SlotsOf(element), (std::vector<std::pair<int64_t, size_t>>{{2, 0}}));
  Find(2);
  Find(1);
  element = Take();
  EXPECT_EQ(element.index, 2);
  EXPECT_EQ(SlotsOf(element), (std::vector<std::pair<int64_t, size_t>>{{0, 1}, {0, 0}}));
  EXPECT_EQ(window_->elements(), 0u);
  EXPECT_EQ(window_->rows(), 0u);
}

TEST_F(ElementWindowTest, AnEmptyElementComesInItsTurn) {
  Start(/*deterministic=*/false);
  Add({1});
  Add({});
  Add({2});
  EXPECT_FALSE(window_->Ready());
  Find(2);
  EXPECT_EQ(TakeIds(), Ids{2});
  Fail(1, "gone");
  EXPECT_EQ(Take().index, 1);  // Nothing is taken from an output that has nothing.
  EXPECT_TRUE(status_.ok());
  EXPECT_EQ(Take().index, 2);
  EXPECT_EQ(status_.message(), "gone");
  EXPECT_EQ(window_->elements(), 0u);
}

TEST_F(ElementWindowTest, AnErrorOutOfOrderTakesOneSlotOnly) {
  Start(/*deterministic=*/false);
  Add({1, 2});
  Add({3});
  Find(1);
  Fail(3, "third");
  Element element = Take();
  EXPECT_EQ(status_.message(), "third");
  EXPECT_EQ(element.index, 0);
  EXPECT_EQ(SlotsOf(element), (std::vector<std::pair<int64_t, size_t>>{{1, 0}}));
  EXPECT_TRUE(element.rows.empty());
  EXPECT_EQ(window_->elements(), 2u);  // The output goes on without it.

  EXPECT_EQ(TakeIds(), Ids{1});
  Fail(2, "second");
  element = Take();
  EXPECT_EQ(status_.message(), "second");
  EXPECT_EQ(element.index, 1);
  EXPECT_EQ(window_->elements(), 0u);  // All that it had left.
}

TEST_F(ElementWindowTest, TheFirstRowsErrorWinsWhateverTheOrder) {
  for (const bool reversed : {false, true}) {
    Start(/*deterministic=*/true);
    Add({1, 2, 3});
    Find(1);
    Fail(reversed ? 3 : 2, reversed ? "third" : "second");
    EXPECT_FALSE(window_->Ready());
    Fail(reversed ? 2 : 3, reversed ? "second" : "third");
    EXPECT_EQ(Take().index, 0);
    EXPECT_EQ(status_.message(), "second");
    EXPECT_EQ(window_->elements(), 0u);
  }
}

TEST_F(ElementWindowTest, SkipsMissingRowsInPlace) {
  Start(/*deterministic=*/true, /*skip_missing=*/true);
  Add({1, 2, 3});
  Find(1);
  Miss(2);
  Find(3);
  EXPECT_EQ(TakeIds(), (Ids{1, 3}));
}

TEST_F(ElementWindowTest, SlotsOfSkippedRowsAreToldAsTaken) {
  Start(/*deterministic=*/false, /*skip_missing=*/true);
  Add({1, 2, 3});
  Find(3);
  Miss(2);
  Find(1);
  const Element element = Take();
  EXPECT_EQ(element.rows.size(), 2u);
  EXPECT_EQ(SlotsOf(element), (std::vector<std::pair<int64_t, size_t>>{{0, 2}, {0, 1}, {0, 0}}));
}

TEST_F(ElementWindowTest, TellsWhatTheNextOutputWaitsFor) {
  Start(/*deterministic=*/true);
  Add({1});
  Add({2});
  bool fresh;
  EXPECT_TRUE(window_->Needs(*keys_.Want(Key{1}, {0, 0}, &fresh), 0));
  EXPECT_FALSE(window_->Needs(*keys_.Want(Key{2}, {1, 0}, &fresh), 0));
  EXPECT_EQ(window_->awaited(), 0);

  Start(/*deterministic=*/false);
  Add({3, 4, 5});
  PendingKey* key = keys_.Want(Key{5}, {0, 2}, &fresh);
  Find(3);
  EXPECT_TRUE(window_->Needs(*key, 1));
  EXPECT_FALSE(window_->Needs(*key, 2));
}

}  // namespace
}  // namespace tfcass
