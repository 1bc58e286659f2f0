#include "ops/fetch/reply_reader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// The server's word for the number of rows is not taken for more than this: memory is made ready for them.
constexpr size_t kMostRows = 100'000;

Status CheckColumns(const DriverApi& api, const QuerySpec& query, const CassResult* result) {
  const size_t count = api.cass_result_column_count(result);
  if (count != query.columns.size() + 1) {
    return Internal(StrCat("a reply about ", query.table, " has ", count, " columns, not ", query.columns.size() + 1));
  }
  for (size_t i = 0; i < query.columns.size(); ++i) {
    const ColumnSpec& column = query.columns[i];
    const CassValueType found = api.cass_result_column_type(result, i + 1);
    if (!Accepts(column.type, found)) {
      return FailedPrecondition(StrCat("column ", column.name, " of ", query.table, " is ", CqlName(found),
                                       " in the cluster, but ", CqlTypesOf(column.type),
                                       " was expected; make the dataset anew if the table has changed"));
    }
  }
  return OkStatus();
}

Cell ReadCell(const DriverApi& api, const CassValue* value) {
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  if (api.cass_value_is_null(value) || api.cass_value_get_bytes(value, &bytes, &size) != CASS_OK) return {};
  return {false, {reinterpret_cast<const char*>(bytes), size}};
}

Status ReadKey(const DriverApi& api, const QuerySpec& query, const CassRow* from, Key* key) {
  const Cell cell = ReadCell(api, api.cass_row_get_column(from, 0));
  if (cell.bytes.size() != key->size()) {
    return Internal(StrCat("the key of a row of ", query.table, " has ", cell.bytes.size(), " bytes, not 16"));
  }
  std::copy(cell.bytes.begin(), cell.bytes.end(), key->begin());
  return OkStatus();
}

Status ReadColumn(const DriverApi& api, const QuerySpec& query, const CassRow* from, size_t column, Cell* cell) {
  *cell = ReadCell(api, api.cass_row_get_column(from, column + 1));
  const size_t width = FixedWidth(query.columns[column].type);
  if (width == 0 || cell->is_null || cell->bytes.size() == width) return OkStatus();
  if (cell->bytes.empty()) {
    *cell = {};
    return OkStatus();
  }
  return Internal(StrCat("a value of column ", query.columns[column].name, " of ", query.table, " has ",
                         cell->bytes.size(), " bytes, not ", width));
}

// What a reply's rows share.
struct Storage {
  Storage(ResultPtr from, std::shared_ptr<HeldBytes> counter) : result(std::move(from)), held(std::move(counter)) {}
  ~Storage() { *held -= bytes; }

  const ResultPtr result;
  const std::shared_ptr<HeldBytes> held;
  int64_t bytes = 0;
  std::vector<Cell> cells;  // Of all rows, one after the other.
};

}  // namespace

Status ReadRows(const DriverApi& api, const QuerySpec& query, ResultPtr result,
                const std::shared_ptr<HeldBytes>& held, std::vector<Row>* rows) {
  rows->clear();
  TFCASS_RETURN_IF_ERROR(CheckColumns(api, query, result.get()));
  const size_t count = api.cass_result_row_count(result.get());
  if (count > kMostRows) return Internal(StrCat("a reply about ", query.table, " says that it has ", count, " rows"));
  const auto storage = std::make_shared<Storage>(std::move(result), held);
  storage->cells.resize(count * query.columns.size());
  rows->reserve(count);
  Cell* cells = storage->cells.data();
  IteratorPtr iterator = Own(api, api.cass_iterator_from_result(storage->result.get()));
  while (rows->size() < count && api.cass_iterator_next(iterator.get())) {
    const CassRow* from = api.cass_iterator_get_row(iterator.get());  // The next step overwrites it, but not its bytes.
    if (api.cass_row_get_column(from, query.columns.size()) == nullptr) break;
    Row& row = rows->emplace_back();
    row.found = true;
    TFCASS_RETURN_IF_ERROR(ReadKey(api, query, from, &row.key));
    for (size_t i = 0; i < query.columns.size(); ++i) {
      TFCASS_RETURN_IF_ERROR(ReadColumn(api, query, from, i, &cells[i]));
    }
    row.cells = {cells, query.columns.size()};
    cells += query.columns.size();
    row.storage = storage;
    const int64_t bytes = CellBytes(row);
    storage->bytes += bytes;
    *held += bytes;
  }
  // Not to be taken for missing rows.
  if (rows->size() == count) return OkStatus();
  return Internal(StrCat("a reply about ", query.table, " ends after ", rows->size(), " of its ", count, " rows"));
}

int64_t CellBytes(const Row& row) {
  size_t bytes = 0;
  for (const Cell& cell : row.cells) bytes += cell.bytes.size();
  return static_cast<int64_t>(bytes);
}

KeyMatcher::KeyMatcher(const std::vector<PendingKey*>& keys) : keys_(keys) {
  if (keys_.size() == 1) return;
  for (size_t i = 0; i < keys_.size(); ++i) {
    size_t slot = SlotOf(keys_[i]->key);
    while (places_[slot] != 0) slot = (slot + 1) % kSlots;
    places_[slot] = static_cast<uint8_t>(i + 1);
  }
}

size_t KeyMatcher::SlotOf(const Key& key) {
  // Any bytes may be the ones in which the keys differ.
  uint32_t mixed = 0;
  for (const uint8_t byte : key) mixed = mixed * 31 + byte;
  return (mixed ^ mixed >> 8) % kSlots;
}

size_t KeyMatcher::Find(const Key& key) const {
  if (keys_.size() == 1) return keys_[0]->key == key ? 0 : kNone;
  for (size_t slot = SlotOf(key); places_[slot] != 0; slot = (slot + 1) % kSlots) {
    const size_t place = places_[slot] - 1u;
    if (keys_[place]->key == key) return place;
  }
  return kNone;
}

}  // namespace tfcass
