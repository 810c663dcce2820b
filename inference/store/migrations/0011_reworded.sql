-- A spec that is no JSON any more can be written over.
DROP TRIGGER jobs_reworded;
CREATE TRIGGER jobs_reworded AFTER UPDATE OF spec ON jobs
    WHEN CASE WHEN json_valid(old.spec)
        THEN json_extract(old.spec, '$.prompt') IS NOT json_extract(new.spec, '$.prompt')
        ELSE 1 END BEGIN
    UPDATE words SET prompt =
            coalesce(json_extract(new.spec, '$.original') || char(10), '')
            || json_extract(new.spec, '$.prompt')
        WHERE rowid = (SELECT number FROM archive WHERE job = new.id);
END;
