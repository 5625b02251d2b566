using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.Loader;

namespace Thaw.Bootstrap;

/// <summary>Finds the method that a handler names, and refuses one that cannot be called.</summary>
internal static class HandlerMethod
{
    private const BindingFlags Everything =
        BindingFlags.DeclaredOnly | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;

    /// <summary>The type that is named, and the method, which one of its base types may have.</summary>
    /// <exception cref="LambdaValidationException">There is no such method, or it cannot be called.</exception>
    public static (Type Type, MethodInfo Method) Find(HandlerName name)
    {
        var assembly = Load(name.Assembly);
        var type = assembly.GetType(name.Type)
            ?? throw new LambdaValidationException(
                $"the assembly {name.Assembly} has no type {name.Type}. A nested type is written Outer+Nested");
        var method = Find(type, name.Method);
        if (Fault(type, method) is { } fault)
            throw new LambdaValidationException($"the handler {type.FullName}.{method.Name} {fault}");
        return (type, method);
    }

    private static Assembly Load(string name)
    {
        try
        {
            return AssemblyLoadContext.Default.LoadFromAssemblyName(new AssemblyName(name));
        }
        catch (Exception error) when (error is IOException or BadImageFormatException)
        {
            throw new LambdaValidationException(
                $"the handler's assembly {name} cannot be loaded: is it in the package and in its .deps.json?", error);
        }
    }

    private static MethodInfo Find(Type type, string name)
    {
        for (var at = type; at is not null; at = at.BaseType)
        {
            var methods = at.GetMethods(Everything);
            var named = Array.FindAll(methods, method => method.Name == name);
            if (named.Length > 1)
            {
                var signatures = string.Join("; ", named.Select(method => method.ToString()));
                throw new LambdaValidationException(
                    $"{at.FullName} has several methods {name}. Name one by its whole signature: {signatures}");
            }
            // A signature has a space in it, so it is never a name.
            if ((named.FirstOrDefault() ?? Array.Find(methods, method => method.ToString() == name)) is { } found)
                return found;
        }
        var there = type.GetMethods(Everything).Where(method => method is { IsPublic: true, IsSpecialName: false });
        var names = string.Join(", ", there.Select(method => method.Name).Distinct());
        throw new LambdaValidationException(
            $"the type {type.FullName} has no method {name}" + (names.Length > 0 ? $". It has {names}" : ""));
    }

    private static string? Fault(Type type, MethodInfo method) => method switch
    {
        { IsAbstract: true } => "is abstract",
        { IsGenericMethod: true } => "is generic",
        _ when method.ReturnType == typeof(void) && method.IsDefined(typeof(AsyncStateMachineAttribute)) =>
            "is async void: nobody can wait for it. Let it return Task",
        _ when method.GetParameters().LastOrDefault()?.IsDefined(typeof(ParamArrayAttribute)) == true =>
            "has a params parameter",
        _ when method.CallingConvention.HasFlag(CallingConventions.VarArgs) => "has a variable argument list",
        _ when type.IsGenericType => "belongs to a generic type",
        _ when type.IsAbstract && !method.IsStatic => "belongs to an abstract class and is not static",
        _ when type is { IsClass: false, IsValueType: false } or { IsPrimitive: true } or { IsEnum: true } =>
            "belongs to neither a class nor a struct",
        _ => null,
    };
}
