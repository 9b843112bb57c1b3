"""Workflows: calls as values, and how they are combined.

A canvas compiles to a graph of messages (pure), which the store keeps whole before any of it
starts; a node starts in the very step in which the last of those it waits for is committed.
"""

from .arguments import arguments_of, errback_arguments
from .chords import chord
from .compile import Graph, Node, compile_plan
from .eager import apply_here
from .enqueue import apply_canvas, enqueue_many, handles_of, lone_message, messages_of
from .fields import linked
from .freeze import freeze
from .mapped import chunks, xmap, xstarmap
from .plan import MAX_DEPTH, MAX_NODES, plan_of
from .primitives import chain, group
from .render import render_dot, render_mermaid, render_tree
from .replacing import ReplaceMessage, add_to_running_chord, extended, replace_running
from .signatures import Signature, maybe_signature, signature, subtask
from .stamping import StampingVisitor

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "Graph",
    "Node",
    "ReplaceMessage",
    "Signature",
    "StampingVisitor",
    "add_to_running_chord",
    "apply_canvas",
    "apply_here",
    "arguments_of",
    "chain",
    "chord",
    "chunks",
    "compile_plan",
    "enqueue_many",
    "errback_arguments",
    "extended",
    "freeze",
    "group",
    "handles_of",
    "linked",
    "lone_message",
    "maybe_signature",
    "messages_of",
    "plan_of",
    "render_dot",
    "render_mermaid",
    "render_tree",
    "replace_running",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]
