"""Set before torch is imported: threads that spin while they wait stall each other where test processes share cores."""

from bundle.processors import share_processors

share_processors()
