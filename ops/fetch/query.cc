#include "ops/fetch/query.h"

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// Quoted: names keep their case and may be CQL's own words.
std::string Quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

std::string SelectWhereKey(const QuerySpec& query) {
  std::string cql = "SELECT " + Quoted(query.key_column);
  for (const ColumnSpec& column : query.columns) cql += ", " + Quoted(column.name);
  const size_t dot = query.table.find('.');
  cql += " FROM " + Quoted(query.table.substr(0, dot)) + "." + Quoted(query.table.substr(dot + 1));
  return cql + " WHERE " + Quoted(query.key_column);
}

}  // namespace

Status QuerySpec::Validate() const {
  const size_t dot = table.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == table.size() ||
      table.find('.', dot + 1) != std::string::npos) {
    return InvalidArgument(StrCat("table '", table, "' is not keyspace.table"));
  }
  if (key_column.empty()) return InvalidArgument(StrCat("the key column of ", table, " has no name"));
  for (const ColumnSpec& column : columns) {
    if (column.name.empty()) return InvalidArgument(StrCat("a column of ", table, " has no name"));
  }
  return OkStatus();
}

std::string QuerySpec::Cql() const { return SelectWhereKey(*this) + " = ?"; }

std::string QuerySpec::GroupedCql() const { return SelectWhereKey(*this) + " IN ?"; }

const char* CqlTypesOf(CellType type) {
  switch (type) {
    case CellType::kBytes:
      return "blob, text, varchar or ascii";
    case CellType::kInt8:
      return "tinyint";
    case CellType::kInt16:
      return "smallint";
    case CellType::kInt32:
      return "int";
    case CellType::kInt64:
      return "bigint";
    case CellType::kFloat:
      return "float";
    case CellType::kDouble:
      return "double";
    case CellType::kBoolean:
      return "boolean";
    case CellType::kUuid:
      return "uuid or timeuuid";
  }
  return "unknown";
}

bool Accepts(CellType expected, CassValueType found) {
  switch (expected) {
    case CellType::kBytes:
      return found == CASS_VALUE_TYPE_BLOB || found == CASS_VALUE_TYPE_TEXT || found == CASS_VALUE_TYPE_VARCHAR ||
             found == CASS_VALUE_TYPE_ASCII;
    case CellType::kInt8:
      return found == CASS_VALUE_TYPE_TINY_INT;
    case CellType::kInt16:
      return found == CASS_VALUE_TYPE_SMALL_INT;
    case CellType::kInt32:
      return found == CASS_VALUE_TYPE_INT;
    case CellType::kInt64:
      return found == CASS_VALUE_TYPE_BIGINT;
    case CellType::kFloat:
      return found == CASS_VALUE_TYPE_FLOAT;
    case CellType::kDouble:
      return found == CASS_VALUE_TYPE_DOUBLE;
    case CellType::kBoolean:
      return found == CASS_VALUE_TYPE_BOOLEAN;
    case CellType::kUuid:
      return found == CASS_VALUE_TYPE_UUID || found == CASS_VALUE_TYPE_TIMEUUID;
  }
  return false;
}

size_t FixedWidth(CellType type) {
  switch (type) {
    case CellType::kBytes:
      return 0;
    case CellType::kInt8:
    case CellType::kBoolean:
      return 1;
    case CellType::kInt16:
      return 2;
    case CellType::kInt32:
    case CellType::kFloat:
      return 4;
    case CellType::kInt64:
    case CellType::kDouble:
      return 8;
    case CellType::kUuid:
      return 16;
  }
  return 0;
}

const char* CqlName(CassValueType type) {
  switch (type) {
    case CASS_VALUE_TYPE_CUSTOM:
      return "a custom type";
    case CASS_VALUE_TYPE_ASCII:
      return "ascii";
    case CASS_VALUE_TYPE_BIGINT:
      return "bigint";
    case CASS_VALUE_TYPE_BLOB:
      return "blob";
    case CASS_VALUE_TYPE_BOOLEAN:
      return "boolean";
    case CASS_VALUE_TYPE_COUNTER:
      return "counter";
    case CASS_VALUE_TYPE_DECIMAL:
      return "decimal";
    case CASS_VALUE_TYPE_DOUBLE:
      return "double";
    case CASS_VALUE_TYPE_FLOAT:
      return "float";
    case CASS_VALUE_TYPE_INT:
      return "int";
    case CASS_VALUE_TYPE_TEXT:
    case CASS_VALUE_TYPE_VARCHAR:
      return "text";
    case CASS_VALUE_TYPE_TIMESTAMP:
      return "timestamp";
    case CASS_VALUE_TYPE_UUID:
      return "uuid";
    case CASS_VALUE_TYPE_VARINT:
      return "varint";
    case CASS_VALUE_TYPE_TIMEUUID:
      return "timeuuid";
    case CASS_VALUE_TYPE_INET:
      return "inet";
    case CASS_VALUE_TYPE_DATE:
      return "date";
    case CASS_VALUE_TYPE_TIME:
      return "time";
    case CASS_VALUE_TYPE_SMALL_INT:
      return "smallint";
    case CASS_VALUE_TYPE_TINY_INT:
      return "tinyint";
    case CASS_VALUE_TYPE_DURATION:
      return "duration";
    case CASS_VALUE_TYPE_LIST:
      return "a list";
    case CASS_VALUE_TYPE_MAP:
      return "a map";
    case CASS_VALUE_TYPE_SET:
      return "a set";
    case CASS_VALUE_TYPE_UDT:
      return "a user-defined type";
    case CASS_VALUE_TYPE_TUPLE:
      return "a tuple";
    case CASS_VALUE_TYPE_UNKNOWN:
      break;
  }
  return "an unknown type";
}

}  // namespace tfcass
