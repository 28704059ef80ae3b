"""What a pack reports, and the answer to it if there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One rule at one resource."""

    pack: str
    rule: str
    where: str
    """Construct path below the stack."""
    answered_at: str = ""
    """Construct path below the stack; empty where nobody answered."""
    reason: str = ""

    @property
    def answered(self) -> bool:
        return bool(self.reason)

    @property
    def name(self) -> str:
        """The rule without its pack, and without the names of one app's resources."""
        rule = self.rule.removeprefix(f"{self.pack}-")
        head, bracket, found = rule.partition("[")
        return f"{head}[{found.split('::')[0]}]" if bracket else rule


def below_the_stack(construct_path: str) -> str:
    """The path of a resource without its stack, and without what every L2 calls its resource."""
    inside = construct_path.partition("/")[2]
    return inside.removesuffix("/Resource")
