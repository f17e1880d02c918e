"""A second, simple implementation of the store's semantics, to compare the engines with."""

from copy import deepcopy

ABSENT = ("absent",)


def at(doc, path):
    for name in path.split("."):
        if type(doc) is not dict or name not in doc:
            return ABSENT
        doc = doc[name]
    return doc


def holds(doc, where):
    for path, condition in where.items():
        found = at(doc, path)
        for operator, wanted in (condition if type(condition) is dict else {"$eq": condition}).items():
            if not condition_holds(found, operator, wanted):
                return False
    return True


def condition_holds(found, operator, wanted):
    if operator == "$exists":
        return (found is not ABSENT) is wanted
    if operator == "$in":
        return any(condition_holds(found, "$eq", item) for item in wanted)
    if operator == "$all":
        return wanted != [] and type(found) is list and set(wanted) <= set(found)
    if operator == "$ne":
        return not condition_holds(found, "$eq", wanted)
    if type(found) is list:
        return any(condition_holds(item, operator, wanted) for item in found if type(item) is not list)
    if type(found) is not type(wanted):
        return False
    if type(found) is str:
        found, wanted = found.encode(), wanted.encode()
    return {
        "$eq": found == wanted,
        "$gt": found > wanted,
        "$gte": found >= wanted,
        "$lt": found < wanted,
        "$lte": found <= wanted,
    }[operator]


REJECTED = None


def apply_update(doc, update):
    """Return the updated copy, or REJECTED if an operator does not fit."""
    doc = deepcopy(doc)
    for operator, fields in update.items():
        for path, value in fields.items():
            parent, _, name = path.rpartition(".")
            holder = doc
            for part in parent.split(".") if parent else []:
                holder = holder.setdefault(part, {}) if operator not in ("$unset", "$pull") else holder.get(part, {})
                if type(holder) is not dict:
                    break
            if type(holder) is dict:
                if apply_operator(holder, name, operator, deepcopy(value)) is REJECTED:
                    return REJECTED
            elif operator not in ("$unset", "$pull") or type(holder) is list:
                return REJECTED
    return doc


def apply_operator(holder, name, operator, value):
    found = holder.get(name, ABSENT)
    if operator == "$set":
        holder[name] = value
    elif operator == "$unset":
        holder.pop(name, None)
    elif operator == "$inc":
        total = value if found is ABSENT else found + value if type(found) is int else 2**64
        if not -(2**63) <= total < 2**63:
            return REJECTED
        holder[name] = total
    elif found is not ABSENT and type(found) is not list:
        return REJECTED
    elif operator == "$push":
        holder[name] = [*([] if found is ABSENT else found), value]
    elif found is not ABSENT and type(value) is dict:
        holder[name] = [item for item in found if not (type(item) is dict and holds(item, value))]
    elif found is not ABSENT:
        holder[name] = [item for item in found if (type(item), item) != (type(value), value)]
    return True
