"""The store's semantics once more, written as plainly as can be, to compare the engines with."""

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
        there = at(doc, path)
        for word, wanted in (condition if type(condition) is dict else {"$eq": condition}).items():
            if not one_holds(there, word, wanted):
                return False
    return True


def one_holds(there, word, wanted):
    if word == "$exists":
        return (there is not ABSENT) is wanted
    if word == "$in":
        return any(one_holds(there, "$eq", item) for item in wanted)
    if word == "$all":
        return wanted != [] and type(there) is list and set(wanted) <= set(there)
    if word == "$ne":
        return not one_holds(there, "$eq", wanted)
    if type(there) is list:
        return any(one_holds(item, word, wanted) for item in there if type(item) is not list)
    if type(there) is not type(wanted):
        return False
    if type(there) is str:
        there, wanted = there.encode(), wanted.encode()
    return {
        "$eq": there == wanted,
        "$gt": there > wanted,
        "$gte": there >= wanted,
        "$lt": there < wanted,
        "$lte": there <= wanted,
    }[word]


REFUSED = None


def change(doc, changes):
    """The changed copy; REFUSED where a word does not fit."""
    doc = deepcopy(doc)
    for word, fields in changes.items():
        for path, value in fields.items():
            parent, _, name = path.rpartition(".")
            holder = doc
            for part in parent.split(".") if parent else []:
                holder = holder.setdefault(part, {}) if word not in ("$unset", "$pull") else holder.get(part, {})
                if type(holder) is not dict:
                    break
            if type(holder) is dict:
                if change_one(holder, name, word, deepcopy(value)) is REFUSED:
                    return REFUSED
            elif word not in ("$unset", "$pull") or type(holder) is list:
                return REFUSED
    return doc


def change_one(holder, name, word, value):
    there = holder.get(name, ABSENT)
    if word == "$set":
        holder[name] = value
    elif word == "$unset":
        holder.pop(name, None)
    elif word == "$inc":
        total = value if there is ABSENT else there + value if type(there) is int else 2**64
        if not -(2**63) <= total < 2**63:
            return REFUSED
        holder[name] = total
    elif there is not ABSENT and type(there) is not list:
        return REFUSED
    elif word == "$push":
        holder[name] = [*([] if there is ABSENT else there), value]
    elif there is not ABSENT and type(value) is dict:
        holder[name] = [item for item in there if not (type(item) is dict and holds(item, value))]
    elif there is not ABSENT:
        holder[name] = [item for item in there if (type(item), item) != (type(value), value)]
    return True
