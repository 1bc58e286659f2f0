#include "ops/fetch/scan/scan_spec.h"

#include <algorithm>
#include <utility>

#include "ops/fetch/canonical_text.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

struct ReadableType {
  const char* name;
  CassValueType type;
  Layout layout;
};

constexpr ReadableType kReadable[] = {
    {"ascii", CASS_VALUE_TYPE_ASCII, Layout::kBytes},
    {"bigint", CASS_VALUE_TYPE_BIGINT, Layout::kInt64},
    {"blob", CASS_VALUE_TYPE_BLOB, Layout::kBytes},
    {"boolean", CASS_VALUE_TYPE_BOOLEAN, Layout::kBoolean},
    {"counter", CASS_VALUE_TYPE_COUNTER, Layout::kInt64},
    {"date", CASS_VALUE_TYPE_DATE, Layout::kInt32},
    {"double", CASS_VALUE_TYPE_DOUBLE, Layout::kDouble},
    {"float", CASS_VALUE_TYPE_FLOAT, Layout::kFloat},
    {"inet", CASS_VALUE_TYPE_INET, Layout::kBytes},
    {"int", CASS_VALUE_TYPE_INT, Layout::kInt32},
    {"smallint", CASS_VALUE_TYPE_SMALL_INT, Layout::kInt16},
    {"text", CASS_VALUE_TYPE_VARCHAR, Layout::kBytes},
    {"timestamp", CASS_VALUE_TYPE_TIMESTAMP, Layout::kInt64},
    {"timeuuid", CASS_VALUE_TYPE_TIMEUUID, Layout::kUuid},
    {"tinyint", CASS_VALUE_TYPE_TINY_INT, Layout::kInt8},
    {"uuid", CASS_VALUE_TYPE_UUID, Layout::kUuid},
    {"varchar", CASS_VALUE_TYPE_VARCHAR, Layout::kBytes},
};

// Names keep their case and may be CQL's own words.
std::string Quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

std::string Joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

// More than any query has: a damaged text must not have us reserve memory for its numbers.
constexpr int64_t kMostItems = 10'000'000;

Status TakeCount(CanonicalText* fields, const std::string& name, int64_t* count) {
  *count = 0;
  TFCASS_RETURN_IF_ERROR(fields->Take(name, count));
  if (*count >= 0 && *count <= kMostItems) return OkStatus();
  return InvalidArgument(StrCat("scan: ", name, "=", *count, " is not a number of items"));
}

Status TakeStrings(CanonicalText* fields, const std::string& count_name, const std::string& prefix,
                   std::vector<std::string>* strings) {
  int64_t count;
  TFCASS_RETURN_IF_ERROR(TakeCount(fields, count_name, &count));
  for (int64_t i = 0; i < count; ++i) TFCASS_RETURN_IF_ERROR(fields->Take(StrCat(prefix, i), &strings->emplace_back()));
  return OkStatus();
}

}  // namespace

size_t WidthOf(Layout layout) {
  switch (layout) {
    case Layout::kBytes:
      return 0;
    case Layout::kInt8:
    case Layout::kBoolean:
      return 1;
    case Layout::kInt16:
      return 2;
    case Layout::kInt32:
    case Layout::kFloat:
      return 4;
    case Layout::kInt64:
    case Layout::kDouble:
      return 8;
    case Layout::kUuid:
      return 16;
  }
  return 0;
}

Status ScanSpec::Validate() {
  const size_t dot = table.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == table.size()) {
    return InvalidArgument(StrCat("table '", table, "' is not keyspace.table"));
  }
  if (asked < 1 || asked > columns.size()) {
    return InvalidArgument(StrCat("scan of ", table, ": asked=", asked, " is not in [1, ", columns.size(), "]"));
  }
  if (partition_key.empty()) return InvalidArgument(StrCat("scan of ", table, ": the partition key has no column"));
  for (ScanColumn& column : columns) {
    const auto known = std::find_if(std::begin(kReadable), std::end(kReadable),
                                    [&](const ReadableType& type) { return type.name == column.cql_type; });
    if (known == std::end(kReadable)) {
      return InvalidArgument(StrCat("column ", column.name, " of ", table, " is ", column.cql_type,
                                    ", which cannot be read; leave it out of columns"));
    }
    column.type = known->type;
    column.layout = known->layout;
  }
  if (static_cast<size_t>(std::count(where.begin(), where.end(), '?')) < values.size()) {
    return InvalidArgument(StrCat("scan of ", table, ": where='", where, "' has fewer question marks than the ",
                                  values.size(), " values"));
  }
  for (ScanFilter& filter : filters) {
    if (filter.column >= columns.size()) {
      return InvalidArgument(StrCat("scan of ", table, ": a filter is on column ", filter.column, " of ",
                                    columns.size()));
    }
    std::sort(filter.values.begin(), filter.values.end());
  }
  for (const auto& partition : partitions) {
    if (partition.size() != partition_key.size()) {
      return InvalidArgument(StrCat("scan of ", table, ": a partition has ", partition.size(), " values, its key ",
                                    partition_key.size(), " columns"));
    }
  }
  return OkStatus();
}

Status ScanSpec::Parse(std::string_view text, ScanSpec* spec) {
  CanonicalText fields;
  ScanSpec parsed;
  int64_t columns, asked = 0, filters, partitions;
  TFCASS_RETURN_IF_ERROR(CanonicalText::Parse(text, "scan", &fields));
  TFCASS_RETURN_IF_ERROR(fields.Take("table", &parsed.table));
  TFCASS_RETURN_IF_ERROR(TakeCount(&fields, "columns", &columns));
  for (int64_t i = 0; i < columns; ++i) {
    ScanColumn& column = parsed.columns.emplace_back();
    TFCASS_RETURN_IF_ERROR(fields.Take(StrCat("column.", i), &column.name));
    TFCASS_RETURN_IF_ERROR(fields.Take(StrCat("type.", i), &column.cql_type));
  }
  TFCASS_RETURN_IF_ERROR(fields.Take("asked", &asked));
  parsed.asked = asked < 0 ? 0 : static_cast<size_t>(asked);
  TFCASS_RETURN_IF_ERROR(TakeStrings(&fields, "keys", "key.", &parsed.partition_key));
  TFCASS_RETURN_IF_ERROR(fields.Take("where", &parsed.where));
  TFCASS_RETURN_IF_ERROR(TakeStrings(&fields, "values", "value.", &parsed.values));
  TFCASS_RETURN_IF_ERROR(TakeCount(&fields, "filters", &filters));
  for (int64_t i = 0; i < filters; ++i) {
    int64_t column = -1;
    const std::string name = StrCat("filter.", i);
    ScanFilter& filter = parsed.filters.emplace_back();
    TFCASS_RETURN_IF_ERROR(fields.Take(name, &column));
    filter.column = static_cast<size_t>(column);  // -1 is out of range.
    TFCASS_RETURN_IF_ERROR(TakeStrings(&fields, name + ".values", name + ".", &filter.values));
  }
  TFCASS_RETURN_IF_ERROR(fields.Take("by_partition", &parsed.by_partition));
  TFCASS_RETURN_IF_ERROR(TakeCount(&fields, "partitions", &partitions));
  for (int64_t i = 0; i < partitions; ++i) {
    auto& partition = parsed.partitions.emplace_back(parsed.partition_key.size());
    for (size_t k = 0; k < partition.size(); ++k) {
      TFCASS_RETURN_IF_ERROR(fields.Take(StrCat("partition.", i, ".", k), &partition[k]));
    }
  }
  TFCASS_RETURN_IF_ERROR(fields.CheckAllTaken());
  TFCASS_RETURN_IF_ERROR(parsed.Validate());
  *spec = std::move(parsed);
  return OkStatus();
}

std::string ScanSpec::Cql() const {
  std::vector<std::string> selected, key, relations;
  for (const ScanColumn& column : columns) selected.push_back(Quoted(column.name));
  for (const std::string& name : partition_key) key.push_back(Quoted(name));
  if (by_partition) {
    for (const std::string& name : key) relations.push_back(name + " = ?");
  } else {
    const std::string token = "token(" + Joined(key, ", ") + ")";
    relations = {token + " > ?", token + " <= ?"};
  }
  if (!where.empty()) relations.push_back(where);
  const size_t dot = table.find('.');
  return "SELECT " + Joined(selected, ", ") + " FROM " + Quoted(table.substr(0, dot)) + "." +
         Quoted(table.substr(dot + 1)) + " WHERE " + Joined(relations, " AND ") +
         (where.empty() ? "" : " ALLOW FILTERING");
}

std::string ScanSpec::Fingerprint() const {
  std::string text = Cql();
  const auto add = [&](const std::vector<std::string>& parts) {
    for (const std::string& part : parts) text += "\n" + PercentEncode(part);
    text += "\n;";
  };
  add(values);
  for (const ScanFilter& filter : filters) {
    text += columns[filter.column].name;
    add(filter.values);
  }
  for (const auto& partition : partitions) add(partition);
  return text;
}

}  // namespace tfcass
