// Consistency levels that a read may ask for, by their CQL names.
#ifndef TFCASS_OPS_FETCH_CONSISTENCY_H_
#define TFCASS_OPS_FETCH_CONSISTENCY_H_

#include <string>
#include <string_view>

#include "ops/driver/driver_types.h"

namespace tfcass {

// False when `name` is none of them.
bool ParseConsistency(std::string_view name, CassConsistency* consistency);

// "ONE, TWO, ...", for messages.
std::string ConsistencyNames();

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_CONSISTENCY_H_
