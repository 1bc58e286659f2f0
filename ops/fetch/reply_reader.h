// Reads the driver's result into rows, and checks that it is what the caller expects.
#ifndef TFCASS_OPS_FETCH_REPLY_READER_H_
#define TFCASS_OPS_FETCH_REPLY_READER_H_

#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/query.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"

namespace tfcass {

// The rows of `result`, in its order, each with the key it carries and cells that point into the result, which the rows
// keep alive together. An empty value of a fixed-width column, which Cassandra allows, counts as null.
// FailedPrecondition naming the column and both types when one is not of its spec's type: the schema changed.
Status ReadRows(const DriverApi& api, const QuerySpec& query, ResultPtr result, std::vector<Row>* rows);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_REPLY_READER_H_
