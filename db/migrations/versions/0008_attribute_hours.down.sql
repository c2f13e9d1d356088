-- Drops the hours by part attribute; the attributes themselves stay.
DROP TRIGGER rollup_emptied ON part_attribute;
DROP TRIGGER rollup_deleted ON part_attribute;
DROP TRIGGER rollup_updated_from ON part_attribute;
DROP TRIGGER rollup_updated_to ON part_attribute;
DROP TRIGGER rollup_inserted ON part_attribute;
DROP FUNCTION mark_emptied_attributes, mark_changed_attributes;
DROP TABLE attribute_hour;
