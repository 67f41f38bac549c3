"""What the macros do to attributes that every target has."""

_TAG = "requires-container-runtime"

_COMMON = [
    "compatible_with",
    "deprecation",
    "exec_compatible_with",
    "exec_group_compatible_with",
    "exec_properties",
    "features",
    "package_metadata",
    "restricted_to",
    "target_compatible_with",
    "testonly",
    "toolchains",
]

_TAGS = [
    "block-network",
    "exclusive",
    "external",
    "local",
    "manual",
    "requires-fakeroot",
    "requires-network",
]

def public(kwargs):
    """The attributes of a target that the caller named: skipped where there is no engine."""
    return kwargs | {
        "tags": _unique((kwargs.get("tags") or []) + [_TAG]),
        "target_compatible_with": (kwargs.get("target_compatible_with") or []) + select({
            Label("//bazel:no_engine"): [Label("@platforms//:incompatible")],
            "//conditions:default": [],
        }),
    }

def private(kwargs):
    """The attributes of a target that a macro makes for itself."""
    kept = {name: kwargs[name] for name in _COMMON if name in kwargs}
    tags = [tag for tag in kwargs.get("tags") or [] if _concerns_actions(tag)]
    return public(kept | {
        "tags": tags + ["manual"],
        "visibility": ["//visibility:private"],
    })

def _concerns_actions(tag):
    return tag in _TAGS or tag.startswith("no-") or tag.startswith("cpu:") or tag.startswith("resources:")

def _unique(tags):
    return {tag: None for tag in tags}.keys()
