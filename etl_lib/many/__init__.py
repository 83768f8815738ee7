"""Acts on many clients at once: what is chosen is shown first, and then done exactly as it was shown."""

from etl_lib.many.acts import Desk
from etl_lib.many.desk import Ended, apply, show
from etl_lib.many.order import ActName, Order
from etl_lib.many.proposal import Item, LeftOut, Proposal

__all__ = ["ActName", "Desk", "Ended", "Item", "LeftOut", "Order", "Proposal", "apply", "show"]
