#include "ops/fetch/reply_reader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

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

}  // namespace

Status ReadRows(const DriverApi& api, const QuerySpec& query, ResultPtr result, std::vector<Row>* rows) {
  rows->clear();
  TFCASS_RETURN_IF_ERROR(CheckColumns(api, query, result.get()));
  const std::shared_ptr<const CassResult> storage = std::move(result);
  IteratorPtr iterator = Own(api, api.cass_iterator_from_result(storage.get()));
  while (api.cass_iterator_next(iterator.get())) {
    const CassRow* from = api.cass_iterator_get_row(iterator.get());  // The next step overwrites it, but not its bytes.
    Row row;
    row.found = true;
    row.cells.resize(query.columns.size());
    TFCASS_RETURN_IF_ERROR(ReadKey(api, query, from, &row.key));
    for (size_t i = 0; i < row.cells.size(); ++i)
      TFCASS_RETURN_IF_ERROR(ReadColumn(api, query, from, i, &row.cells[i]));
    row.storage = storage;
    rows->push_back(std::move(row));
  }
  return OkStatus();
}

}  // namespace tfcass
